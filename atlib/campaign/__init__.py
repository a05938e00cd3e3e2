"""The campaign: the grid of runs that the report wants, the jobs that bring them about, publishing and audits."""
