"""The report: statistics of the published rows, claims, verdicts, and the tables, figures and pages made of them."""
