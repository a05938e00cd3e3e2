"""The campaign: the grid of runs that the report wants, the jobs that bring them about, publishing and audits; and what
is measured for the report but belongs to no single run."""
