"""The API and the console: released bundles answer the shop over HTTP, and every answer can be traced."""
