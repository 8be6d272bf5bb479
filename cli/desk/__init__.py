"""The auditor's desk in a browser: Datasette on the journal, with ready questions and a first page to look at."""
