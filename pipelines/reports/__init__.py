"""What Evidently says: the report that decides, the drift report, and the page and mail that a person reads first."""
