"""What a run costs, counted by hand."""

import pytest
import torch

from atlib import measurements
from atlib.campaign import grid, needs, plan
from atlib.configuration import resolve


def test_work_of_a_run_counted_by_hand() -> None:
    config = resolve(dataset="cifar10", eps=8, share=0.5, steps=7, epochs=12)
    work = plan.training_work(config)
    assert (work.steps, work.gradients) == (12 * 45_000, 12 * 45_000 * 0.5 * 7)
    assert work.forwards == 12 * 5000  # the hold-out, after each epoch
    # clean, PGD-40 and the attack of its training; 32 distortions; four stylised sets; maps of 500 pictures under six,
    # 101 gradients each
    assert plan.evaluation_work(config) == (39 * 10_000, 10_000 * (40 + 7) + 500 * (40 + 6 * 101), 0)
    # of single measurements alone; a map is compared with the clean picture's, which is drawn for that
    assert plan.evaluation_work(config, ["clean@", "noise@0.1"]) == (20_000, 0, 0)
    assert plan.evaluation_work(config, ["trained-attack@"]) == (10_000, 70_000, 0)
    assert plan.evaluation_work(config, ["maps@saturation@1024"]) == (0, 500 * 2 * 101, 0)
    assert plan.evaluation_work(config, []) == (0, 0, 0)
    # of two networks: both networks' maps, or an attack with the large budget; it counted as a forward of each picture
    assert plan.evaluation_work(config, ["between@clean@"]) == (0, 500 * 2 * 101, 0)
    assert plan.evaluation_work(config, ["between@pgd-linf@64", "clean@"]) == (10_000, 10_000 * 40, 0)
    tiny = resolve(dataset="tiny-imagenet", epochs=1)
    assert plan.training_work(tiny).forwards == 5000  # of 100,000
    normal = resolve(dataset="cifar10", attack="none")
    assert plan.training_work(normal)[1:] == (0, 12 * 45_000) and plan.evaluation_work(normal).gradients == 723_000
    assert plan.training_work(resolve(attack="none", match=0.5)) == (0, 0, 0)


def test_operations_of_a_convolution_counted_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    plan.operations.cache_clear()
    what = plan.Architecture(width=4, stem="3x3", side=32, classes=10)
    convolution = torch.nn.Conv2d(3, 5, 3, padding=1)
    monkeypatch.setattr(plan, "network", lambda _: (convolution, torch.rand(2, 3, 8, 8), torch.zeros(2)))
    forward = 2 * (3 * 3 * 3) * 5 * 8 * 8
    assert plan.operations(what) == (forward, 2 * forward, 3 * forward)
    plan.operations.cache_clear()


def test_a_wider_network_costs_more_and_seconds_are_measured() -> None:
    narrow, wide = (plan.Architecture(width, "3x3-stride2", 32, 10) for width in (4, 16))
    assert plan.operations(wide).forwards > 8 * plan.operations(narrow).forwards
    found = plan.seconds(narrow, "fp32")
    assert 0 < found.forwards < found.steps and found.gradients > found.forwards


def test_a_machine_that_is_slow_is_measured_on_fewer_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    before = plan.kinds

    def noted(model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> dict:
        seen.append(len(images))
        return before(model, images, labels)

    monkeypatch.setattr(plan, "kinds", noted)
    for patience, counts in ((1e9, [12, 128]), (0.0, [12, 12])):
        plan.seconds.cache_clear()
        seen.clear()
        monkeypatch.setattr(plan, "PATIENCE", patience)
        plan.seconds(plan.Architecture(4, "3x3-stride2", 32, 10), "fp32")
        assert seen == counts
    plan.seconds.cache_clear()
    seen.clear()  # patience is still 0
    rough = plan.seconds(plan.Architecture(4, "3x3-stride2", 32, 10), "fp32", rounds=0)
    assert seen == [2] and all(value > 0 for value in rough)
    plan.seconds.cache_clear()


def test_the_table_sums_up_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "hours", lambda planned: 1.5)
    monkeypatch.setattr(plan, "gpu_hours", lambda planned, flops: 0.25)
    planned = grid.load()
    monkeypatch.setattr(plan, "hours_of", lambda need: 1.5)
    monkeypatch.setattr(plan, "gpu_hours_of", lambda need, flops: 0.25)
    monkeypatch.setattr(grid, "published", lambda p: p is planned[0])
    monkeypatch.setattr(grid, "unpublished", lambda p: () if p is planned[0] else ("clean@",))
    monkeypatch.setattr(needs, "out_of_reach", lambda p, installing: {})
    monkeypatch.setattr(grid, "trained", lambda p: True)
    table = plan.table(planned).set_index("block")
    n = sum(p.block == "shapes" for p in planned)
    # the precision that a processor trains in where the run leaves it to the machine, and the run's own otherwise
    assert list(table.loc["shapes"]) == [n, 1, 1.5 * n, 1.5 * (n - 1), n / 4, (n - 1) / 4, "fp32"]
    assert table.loc["a", "core_hours"] == 18
    of_their_own = dict.fromkeys(("b", "attacks-elsewhere"), "bf16/fp32")
    of_their_own |= dict.fromkeys(("weak", "cues", "c", "order", "g", "h"), "bf16")
    assert table["precision"].to_dict() == dict.fromkeys(table.index, "fp32") | of_their_own


def test_the_sizes_are_those_of_the_generated_data_and_the_attack_is_table_1s() -> None:
    from atlib import shapes

    train, test, _, classes = shapes.generate()
    assert plan.sizes()["shapes"] == (len(train[1]) * 9 // 10, len(test[1]), len(classes))
    assert measurements.TABLE_1["steps"] == 40


def test_a_minute_on_a_gpu_is_not_printed_as_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert [plan.digits(hours) for hours in (0, 0.0079, 0.5, 7.04, 51562.4)] == [
        "0",
        "0.0079",
        "0.5",
        "7.0",
        "51,562.4",
    ]
    monkeypatch.setattr(plan, "seconds", lambda what, precision, rounds=3: plan.Work(1e-4, 2e-4, 3e-4))
    assert plan.main(["--blocks", "d"]) == 0
    head, line, *_ = capsys.readouterr().out.splitlines()
    assert float(line.split()[head.split().index("gpu_hours")]) == pytest.approx(0.011)


def test_a_bad_speed_gets_one_line(capsys: pytest.CaptureFixture) -> None:
    assert plan.main(["--flops", "0"]) == 2
    assert capsys.readouterr().err == "error: FLOPS = 0.0: must be a number above 0\n"
