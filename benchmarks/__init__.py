"""How long atlib takes against torchattacks, foolbox, captum and plain loops: `make bench`, or `python -m benchmarks`.

Writes results/bench.csv, one row for each comparison:
what, against, ours_s, theirs_s (medians, CPU seconds of one thread; empty where passes are counted or nothing was
timed), ratio, reach (what it should be at most), met (yes, no, or why it does not apply), detail, rounds, processor,
threads, bf16 (fast, not fast), commit, python, torch, torchattacks, foolbox, captum.
"""
