"""How often the watch is wrong: error rates on days with a known truth, beside Evidently's default rule on the same days."""
