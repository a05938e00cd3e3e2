"""The page "Try it on a picture" in a headless Chromium: what a reader does there, and that its numbers are atlib's.

No test here depends on how fast anything is; `python -m benchmarks.live` measures that.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from atlib import attacks, gradients, models, saliency, transforms
from atlib.data.pictures import square
from atlib.files import REPOSITORY
from atlib.report import export, frames, live
from benchmarks.serving import served
from test_browser import DESK, PHONE, View, axe, browser, chromium, serious, sideways

__all__ = ("browser", "chromium")  # fixtures

ROOT = "document.querySelector('[data-live=root]')"
READABLE = "The page reads JPEG, PNG, WebP and GIF of up to 50 million pixels."
SHIP, SLOW = 1, 180_000.0  # the picture that the page opens on; milliseconds before it is a failure


@pytest.fixture(scope="module")
def strict(book: Path) -> Iterator[str]:
    """The page's address on a server whose pages may connect to nothing but itself."""
    with served(book, {"Content-Security-Policy": "connect-src 'self'"}) as address:
        yield f"{address}/notebooks/try.html"


class Live(View):
    """The page in a tab of its own."""

    def start(self, address: str) -> None:
        self.open(address)
        self.page.set_default_timeout(SLOW)
        self.page.wait_for_selector(".live.ready")

    def ask(self) -> None:
        self.page.click("[data-live=go]")
        self.settle()

    def settle(self) -> None:
        """Wait until the last question is answered to its last sample."""
        self.page.wait_for_function(f"(live => live.complete > 0 && live.complete === live.times.size)({ROOT}.live)")
        assert self.text("trouble") == ""

    def text(self, name: str) -> str:
        return " ".join(self.page.locator(f"[data-live={name}]").first.text_content().split())

    def seen(self, name: str) -> Any:
        """Something of what the page keeps for tests; typed arrays as lists."""
        code = f"JSON.stringify({ROOT}.live.{name}, (_, v) => ArrayBuffer.isView(v) ? Array.from(v) : v)"
        return json.loads(self.page.evaluate(code))

    def pixels(self, name: str) -> np.ndarray:
        """A canvas as bytes, 3×32×32."""
        code = f"""Array.from(document.querySelector('[data-live={name}]').getContext('2d')
            .getImageData(0, 0, 32, 32).data)"""
        return np.array(self.page.evaluate(code), np.uint8).reshape(32, 32, 4)[..., :3].transpose(2, 0, 1)

    def choose(self, kind: str, value: str) -> None:
        self.page.check(f"input[name=live-{kind}][value={value}]")

    def upload(self, name: str, content: bytes, kind: str = "image/png") -> None:
        """Choose a file, and wait for the picture or for the line that refuses it."""
        self.page.evaluate(f"{ROOT}.live.own = null")
        file = {"name": name, "mimeType": kind, "buffer": content}
        self.page.set_input_files("[data-live=file]", file)
        said = "document.querySelector('[data-live=trouble]').textContent"
        self.page.wait_for_function(f"{ROOT}.live.own || {said}")


@pytest.fixture(scope="module")
def page(browser: Any, strict: str) -> Iterator[Live]:
    """The page over http once it has answered the question with which it opens."""
    view = Live(browser.new_page(viewport=DESK))
    view.start(strict)
    view.page.check("input[name=live-guess-0][value=no]")
    view.page.check("input[name=live-guess-1][value=yes]")
    view.page.evaluate(
        f"""() => new MutationObserver(() => window.mapsWhenJudged ??= {ROOT}.live.complete ?? 0)
            .observe(document.querySelector("[data-live=verdict]"), {{ childList: true }})"""
    )
    view.ask()
    yield view
    view.page.close()


@pytest.fixture
def ship() -> Tensor:
    kept = frames.load("cifar10", REPOSITORY / "results" / "frames").arrays["explorer/shown"]
    return torch.from_numpy(kept[SHIP, 4, 0])


@pytest.fixture(scope="module")
def noise(lacks: Callable[[str, str], NoReturn]) -> Tensor:
    """The noise of the page's maps, drawn by its own module."""
    node = shutil.which("node") or lacks("node", "Node is not installed (apt install nodejs)")
    module = (REPOSITORY / "book" / "live" / "random.js").as_uri()
    code = f"import({module!r}).then(m => process.stdout.write(Buffer.from(m.normals(100 * 3072, 1).buffer)))"
    drawn = subprocess.run([node, "-e", code], capture_output=True, check=True).stdout
    return torch.frombuffer(bytearray(drawn), dtype=torch.float32).view(100, 3, 32, 32)


def network(name: str) -> torch.nn.Module:
    return models.load(f"cifar10/{name}")[0].double()


def check_logits(found: Any, images: list[Tensor]) -> None:
    """Both networks' logits are those of the safetensors in double precision."""
    for name, logits, image in zip(export.NAMES, found, images, strict=True):
        with torch.no_grad():
            expected = network(name)(image[None].double())[0].numpy()
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5, err_msg=name)


# --- the first minute -------------------------------------------------------------------------------------------------


def test_a_guess_is_judged_when_the_answer_comes_not_when_the_maps_are_done(page: Live) -> None:
    """A reader who went on to another picture meanwhile was told of the guess about the first one."""
    assert page.page.evaluate("window.mapsWhenJudged") == 0


def test_guess_answer_and_share(page: Live) -> None:
    """The ship at saturation 1024: the normal network loses it, the other doesn't, and so it is with most pictures."""
    assert page.text("verdict").startswith("You guessed both answers. This is one picture; ")
    assert page.page.locator("[data-live=answer]").all_text_contents() == ["says airplane ✗", "says ship ✓"]
    shares = page.page.locator("[data-live=share]").all_text_contents()
    assert [share.replace("\u00a0", " ") for share in shares] == [
        "It recognises 34 % of the test pictures at this level.",
        "It recognises 48 % of the test pictures at this level.",
    ]
    assert page.text("status").startswith("ship, saturation 1024. The normal network says airplane, 82 %. The advers")
    assert page.text("map-text") == "map for “ship”, 100 of 100 samples"
    assert page.complaints == [] and page.foreign() == []


def test_what_is_loaded_after_the_click(page: Live, book: Path) -> None:
    """Nothing from another host, at most 18 MB as they are and 6.5 MB compressed."""
    loaded = {urlsplit(url).path for url in page.requests if "/live/" in url or "/vendor/ort/" in url}
    names = {path.rsplit("/", 1)[1] for path in loaded}
    assert names == {"page.js", "worker.js", "normal.onnx", "pgd-linf-8.onnx", *live.RUNTIME}
    contents = [(book / path.lstrip("/")).read_bytes() for path in loaded]
    assert sum(map(len, contents)) < 18e6
    assert sum(len(gzip.compress(content, 6)) for content in contents) < 6.5e6


def test_probabilities_and_maps_are_those_of_atlib(page: Live, ship: Tensor, noise: Tensor) -> None:
    """For the same picture and noise: logits, and the mean gradient over a hundred noisy copies."""
    shown = transforms.saturation(ship[None], 1024.0)[0]
    check_logits(page.seen("logits"), [shown, shown])
    copies = shown + 0.1 * (shown.max() - shown.min()) * noise
    for name, found in zip(export.NAMES, page.seen("maps"), strict=True):
        labels = torch.full((100,), 8)
        expected = saliency._grad(network(name), copies.double(), labels, highest=8).sum(0)  # copies leave [0, 1]
        ours = torch.tensor(found, dtype=torch.float64).view(3, 32, 32)
        assert (ours - expected).abs().max() < 1e-4 * expected.abs().max(), name
        both = torch.stack([ours, expected])
        assert float(saliency.correlation(*saliency.magnitude(both)[:, None])) > 0.99999
        assert float(torch.corrcoef(both.flatten(1))[0, 1]) > 0.99999


def test_an_anchor_of_a_heading_changes_nothing(page: Live) -> None:
    page.choose("picture", "cat")
    page.choose("operation", "patches")
    page.settle()
    before = page.seen("state()")
    page.page.evaluate("location.hash = '#what-you-see'")
    page.page.evaluate("() => new Promise((done) => setTimeout(done, 50))")
    assert page.seen("state()") == before and before["picture"] == "cat" and page.page.url.endswith("#what-you-see")


def test_a_guess_is_not_judged_by_the_answer_to_another_question(browser: Any, strict: str) -> None:
    """The controls are there before the first answer."""
    view = Live(browser.new_page(viewport=DESK))
    view.start(strict)
    view.page.check("input[name=live-guess-0][value=no]")
    view.page.check("input[name=live-guess-1][value=yes]")
    view.page.evaluate(
        """() => new MutationObserver((_, seen) => { seen.disconnect();
        document.querySelector("input[name=live-picture][value=frog]").click(); })
        .observe(document.querySelector("[data-live=controls]"), { attributeFilter: ["hidden"] })"""
    )
    view.ask()
    assert view.page.is_checked("input[value=frog]") and view.text("verdict") == ""
    view.page.close()


# --- operations -------------------------------------------------------------------------------------------------------


def test_saturation_by_keyboard_is_bit_for_bit_that_of_atlib(page: Live, ship: Tensor) -> None:
    page.choose("picture", "ship")
    page.choose("operation", "saturation")
    slider = page.page.locator("[data-live=level]")
    slider.focus()
    for key, level in (("Home", 0.0), ("End", torch.inf), ("ArrowLeft", 1024.0)):
        slider.press(key)
        expected = frames.bytes_of(transforms.saturation(ship[None], level))[0]
        np.testing.assert_array_equal(page.pixels("changed"), expected)
    assert slider.get_attribute("aria-valuetext") == "1024"
    assert page.page.url.endswith("#picture=ship&do=saturation&level=1024")
    page.settle()


def test_patches_are_shuffled_again_on_request(page: Live, ship: Tensor) -> None:
    page.choose("picture", "ship")
    page.choose("operation", "patches")
    slider = page.page.locator("[data-live=patches]")
    slider.focus()
    slider.press("Home")
    slider.press("ArrowRight")
    first = page.pixels("changed")
    page.page.click("[data-live=draw]")
    second = page.pixels("changed")
    tiles = [sorted(tile.tobytes() for tile in quarters(picture)) for picture in (first, second, ship.numpy())]
    assert tiles[0] == tiles[1] == tiles[2]  # the same patches, in other places
    assert not np.array_equal(first, second) and not np.array_equal(first, ship.numpy())
    assert "do=patches&patches=2&draw=2" in page.page.url
    page.settle()
    check_logits(page.seen("logits"), [torch.from_numpy(second.copy()) / 255] * 2)


def quarters(picture: np.ndarray) -> list[np.ndarray]:
    return [picture[:, y : y + 16, x : x + 16] for y in (0, 16) for x in (0, 16)]


def test_low_pass_filter(page: Live, ship: Tensor) -> None:
    page.page.evaluate("location.hash = '#picture=ship&do=low-pass&cutoff=0.3'")
    page.page.wait_for_function("document.querySelector('[data-live=cutoff-text]').textContent === '0.3'")
    page.settle()
    expected = transforms.low_pass(ship[None], 0.3)
    assert np.abs(page.pixels("changed").astype(int) - frames.bytes_of(expected)[0].astype(int)).max() <= 1
    check_logits(page.seen("logits"), [expected[0]] * 2)
    assert page.page.is_checked("input[value=low-pass]")


def test_dragging_answers_the_last_question_only(page: Live, ship: Tensor) -> None:
    """Many moves in a row: what is shown in the end belongs to the last."""
    page.choose("picture", "ship")
    page.choose("operation", "saturation")
    page.page.evaluate(
        """() => { const slider = document.querySelector('[data-live=level]');
        for (let i = 0; i <= 282; i += 3) { slider.value = i; slider.dispatchEvent(new Event('input')); }
        slider.value = 0; slider.dispatchEvent(new Event('input')); slider.dispatchEvent(new Event('change')); }"""
    )
    page.settle()
    check_logits(page.seen("logits"), [transforms.saturation(ship[None], 0)[0]] * 2)


def test_attack_step_by_step(page: Live, ship: Tensor) -> None:
    """Each network's own PGD: the first step is atlib's but where its gradient is all but zero; no step leaves the
    budget; the normal network falls."""
    page.choose("picture", "ship")
    page.choose("operation", "attack")
    page.page.wait_for_function(f"{ROOT}.live.turns?.length === 11")
    page.settle()
    plain, eps = ship[None] / 255, 8 / 255
    for n, name in enumerate(export.NAMES):
        turns = [torch.tensor(turn["pictures"][n]).view(1, 3, 32, 32) for turn in page.seen("turns")]
        assert torch.equal(turns[0], plain)
        gradient, _ = gradients.input_gradient(network(name), plain.double(), torch.tensor([8]))
        expected = attacks.project(
            attacks.step(plain, gradient, attacks.default_step(eps, 10), "linf"), plain, eps, "linf"
        )
        clear = gradient.abs() > 1e-4 * gradient.abs().max()
        assert clear.float().mean() > 0.95 and torch.equal(turns[1][clear], expected[clear])
        assert all(float((turn - plain).abs().max()) <= eps + 1e-6 for turn in turns)
        theirs = attacks.pgd(network(name).float(), plain, torch.tensor([8]), eps=eps, steps=10)
        assert (turns[-1] == theirs).float().mean() > 0.8
    assert page.page.locator("[data-live=answer]").all_text_contents() == ["says automobile ✗", "says ship ✓"]
    slider = page.page.locator("[data-live=turn]")
    slider.focus()
    slider.press("Home")
    assert page.text("turn-text") == "0 of 10"
    assert page.page.locator("[data-live=answer]").all_text_contents() == ["says ship ✓", "says ship ✓"]
    np.testing.assert_array_equal(page.pixels("attacked-picture"), ship.numpy())
    assert set(np.unique(page.pixels("perturbation"))) == {128}
    page.settle()


def test_an_attack_that_is_left_shows_nothing_more(page: Live, ship: Tensor) -> None:
    """Neither its own late steps, nor a late map of what was asked before it."""
    page.choose("picture", "ship")
    page.choose("operation", "nothing")
    page.page.evaluate(
        """() => { for (const value of ["attack", "saturation"])
        document.querySelector(`input[name=live-operation][value=${value}]`).click(); }"""
    )
    page.settle()
    assert page.seen("turns") is None and page.seen("state()")["operation"] == "saturation"
    level = page.seen("state()")["level"]
    check_logits(page.seen("logits"), [transforms.saturation(ship[None], level)[0]] * 2)


def test_attack_at_no_budget_changes_nothing(page: Live, ship: Tensor) -> None:
    page.choose("picture", "ship")
    page.choose("operation", "attack")
    slider = page.page.locator("[data-live=eps]")
    slider.focus()
    slider.press("Home")
    page.page.wait_for_function(f"{ROOT}.live.turns?.length === 11 && location.hash.endsWith('eps=0')")
    page.settle()
    np.testing.assert_array_equal(page.pixels("attacked-picture"), ship.numpy())


# --- a reader's own picture -------------------------------------------------------------------------------------------


def encoded(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def photograph(width: int, height: int) -> np.ndarray:
    """Smooth and with a direction, so that a turned or shifted crop would be another picture."""
    y, x = np.mgrid[0:height, 0:width]
    planes = (255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / width * 9) * np.cos(y / height * 7))
    return np.stack(planes, 2).astype(np.uint8)


def test_own_picture_is_cropped_as_atlib_crops_it(page: Live) -> None:
    content = encoded(photograph(200, 131), "png")
    page.upload("mine.png", content)
    page.settle()
    expected = square(content, 32, "mine.png")
    np.testing.assert_array_equal(np.array(page.seen("own")).reshape(3, 32, 32), expected)
    check_logits(page.seen("logits"), [torch.from_numpy(expected.copy()) / 255] * 2)
    said = page.page.inner_text("[data-live=no-evidence]")
    assert "whether right or wrong, neither answer is evidence for a network or against it" in said
    assert page.text("own-text") == "yours, from 200×131"
    assert page.page.url.endswith("#picture=own&do=nothing")
    page.choose("picture", "ship")
    assert not page.page.is_visible("[data-live=no-evidence]")
    page.settle()


def test_own_picture_is_attacked_away_from_each_network_s_answer(page: Live) -> None:
    page.upload("mine.png", encoded(photograph(64, 64), "png"))
    page.settle()
    said = [int(np.argmax(logits)) for logits in page.seen("logits")]
    page.choose("operation", "attack")
    page.page.fill("[data-live=eps]", "8")
    page.page.wait_for_function(f"{ROOT}.live.turns?.length === 11 && location.hash.endsWith('eps=8')")
    page.settle()
    chances = [[turn["chances"][n][said[n]] for turn in page.seen("turns")] for n in range(2)]
    assert all(one[-1] <= one[0] for one in chances) and chances[0][-1] < chances[0][0]
    page.choose("picture", "ship")
    page.settle()


def test_an_own_picture_that_is_changed_at_once_is_explained_by_the_answers_to_it_as_it_is(page: Live) -> None:
    """The question about the picture as it is may be left unanswered: the next one was taken for it, or none."""
    content = encoded(photograph(64, 64), "png")
    page.page.evaluate(
        f"""() => {{ const live = {ROOT}.live; live.own = null;
        const upload = setInterval(() => {{ if (!live.own) return; clearInterval(upload);
        document.querySelector("input[name=live-operation][value=saturation]").click(); }}, 0); }}"""
    )
    page.upload("mine.png", content)
    page.page.wait_for_function("location.hash.includes('picture=own&do=saturation')")
    page.settle()
    with torch.no_grad():
        plain = torch.from_numpy(square(content, 32, "mine.png").copy())[None].double() / 255
        said = [int(network(name)(plain).argmax()) for name in export.NAMES]
    classes = frames.load("cifar10", REPOSITORY / "results" / "frames").about["classes"]
    words = page.page.locator("[data-live=map-text]").all_text_contents()
    assert words == [f"map for “{classes[label]}”, 100 of 100 samples" for label in said]
    page.choose("picture", "ship")
    page.settle()


def cut_out() -> bytes:
    """A picture on transparent black, as it looks on white."""
    pixels = np.dstack([photograph(48, 48), np.full((48, 48), 255, np.uint8)])
    pixels[:20] = 0
    return encoded(pixels, "png")


def gif() -> bytes:
    buffer = io.BytesIO()
    first, second = (Image.new("RGB", (40, 40), colour) for colour in ("#ff0000", "#0000ff"))
    first.save(buffer, "gif", save_all=True, append_images=[second], duration=50)
    return buffer.getvalue()


def jpeg(mode: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(photograph(120, 90)).convert(mode).save(buffer, "jpeg", quality=95, exif=exif.tobytes())
    return buffer.getvalue()


def upright(content: bytes) -> np.ndarray:
    """What atlib makes of a picture that has been turned as its EXIF entry says, 3×32×32."""
    with Image.open(io.BytesIO(content)) as image:
        whole = ImageOps.exif_transpose(image)
        ground = Image.new("RGBA", whole.size, "white")
        turned = (Image.alpha_composite(ground, whole) if whole.mode == "RGBA" else whole).convert("RGB")
    return square(encoded(np.asarray(turned), "png"), 32, "a test")


@pytest.mark.parametrize(
    ("name", "content", "tolerance"),
    [
        ("animated.gif", gif(), 1),
        ("plain.jpg", jpeg("RGB"), 4),
        ("grey.jpg", jpeg("L"), 4),
        ("portrait.jpg", jpeg("RGB", 6), 4),
        ("mirrored.jpg", jpeg("RGB", 2), 4),
        ("print.jpg", jpeg("CMYK"), 12),  # browsers and Pillow turn CMYK into RGB by formulas of their own
        ("small.png", encoded(photograph(3, 2), "png"), 0),
        ("cut-out.png", cut_out(), 0),
        ("strip.png", encoded(photograph(900, 5), "png"), 0),
    ],
)
def test_odd_pictures_are_cropped_right(page: Live, name: str, content: bytes, tolerance: int) -> None:
    page.upload(name, content, "image/" + name.rsplit(".")[1].replace("jpg", "jpeg"))
    found = np.array(page.seen("own")).reshape(3, 32, 32)
    assert np.abs(found.astype(int) - upright(content).astype(int)).max() <= tolerance
    assert page.text("trouble") == ""
    page.settle()


def huge() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("notes.txt", b"no picture", f"notes.txt: not a picture that this browser can read. {READABLE}"),
        ("empty.png", b"", f"empty.png: not a picture that this browser can read. {READABLE}"),
        ("cut.jpg", jpeg("RGB")[:40], f"cut.jpg: not a picture that this browser can read. {READABLE}"),
        ("huge.png", huge(), f"huge.png: 10000×10000 pixels are too many. {READABLE}"),
    ],
)
def test_what_is_no_picture_gets_one_line(page: Live, name: str, content: bytes, line: str) -> None:
    page.choose("picture", "ship")
    page.upload(name, content)
    assert page.text("trouble") == line
    assert page.seen("own") is None and page.page.is_checked("input[value=ship]")
    page.choose("picture", "frog")
    assert page.text("trouble") == ""
    page.settle()


def test_nothing_has_left_the_page(page: Live) -> None:
    """After all of the above, uploads included: no other host, no request that sends anything, no complaint."""
    assert page.foreign() == page.sent == page.complaints == []
    sent = page.page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    assert {urlsplit(url).hostname for url in sent} <= {"127.0.0.1", None}


# --- everybody can use it ---------------------------------------------------------------------------------------------


def test_accessible_in_light_and_dark_and_on_a_phone(page: Live) -> None:
    page.page.set_viewport_size(DESK)
    page.choose("picture", "ship")
    for operation in ("saturation", "attack", "nothing", "patches", "low-pass"):
        page.choose("operation", operation)
        page.page.emulate_media(color_scheme="light")
        assert serious(axe(page)) == [], operation
        page.page.emulate_media(color_scheme="dark")
        page.page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        assert serious(axe(page, "color-contrast")) == [], operation
        page.page.set_viewport_size(PHONE)
        assert sideways(page) == [], operation
        page.page.set_viewport_size(DESK)
    page.page.emulate_media(color_scheme="light")


def test_every_control_is_reached_by_keyboard(page: Live) -> None:
    page.choose("operation", "attack")
    page.page.focus("input[name=live-picture][value=ship]")
    reached = []
    for _ in range(6):
        page.page.keyboard.press("Tab")
        reached.append(page.page.evaluate("document.activeElement.dataset.live || document.activeElement.name"))
    assert [name for name in reached if name][:4] == ["file", "live-operation", "eps", "turn"]
    names = page.page.evaluate(
        f"[...{ROOT}.querySelectorAll('canvas')].filter(e => e.checkVisibility()).map(e => e.ariaLabel)"
    )
    assert len(names) >= 6 and all(len(name) > 8 for name in names)


# --- other ways in ----------------------------------------------------------------------------------------------------


def test_from_the_disk_with_a_state_in_the_address(browser: Any, book: Path, ship: Tensor) -> None:
    view = Live(browser.new_page(viewport=DESK))
    view.start((book / "notebooks" / "try.html").as_uri() + "#picture=frog&do=saturation&level=inf")
    assert view.text("question") == "What will each network call this picture when it is saturated?"
    view.ask()
    kept = frames.load("cifar10", REPOSITORY / "results" / "frames").arrays["explorer/shown"]
    shown = transforms.saturation(torch.from_numpy(kept[2:3, 4, 0]), torch.inf)[0]
    check_logits(view.seen("logits"), [shown, shown])
    assert view.text("verdict") == ""  # nothing was guessed
    view.upload("mine.png", encoded(photograph(100, 80), "png"))
    view.settle()
    expected = square(encoded(photograph(100, 80), "png"), 32, "mine.png")
    np.testing.assert_array_equal(np.array(view.seen("own")).reshape(3, 32, 32), expected)
    assert view.complaints == [] and {urlsplit(url).scheme for url in view.requests} <= {"file", "data", "blob"}
    view.page.close()


@pytest.mark.parametrize("lacking", ["WebAssembly.validate = () => false", "delete globalThis.WebAssembly"])
def test_without_simd_there_is_one_line_and_the_way_to_the_sliders(browser: Any, strict: str, lacking: str) -> None:
    view = Live(browser.new_page(viewport=DESK))
    view.page.add_init_script(lacking)
    view.start(strict)
    assert not view.page.is_visible("[data-live=go]")
    assert view.page.is_visible("[data-live=no-simd]")
    assert view.page.get_attribute("[data-live=no-simd] a", "href") == "methods.html"
    view.page.close()


def test_networks_that_cannot_be_loaded_get_one_line(browser: Any, strict: str) -> None:
    view = Live(browser.new_page(viewport=DESK))
    view.page.route("**/normal.onnx", lambda route: route.fulfill(status=404))
    view.start(strict)
    view.page.click("[data-live=go]")
    view.page.wait_for_function("document.querySelector('[data-live=trouble]').textContent")
    network = urljoin(strict, "../_static/live/normal.onnx")
    assert view.text("trouble").startswith(f"The networks could not be loaded: {network}: 404.")
    assert view.page.is_enabled("[data-live=go]")  # to be tried again
    view.page.close()
