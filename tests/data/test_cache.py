"""Images decoded once: what a file becomes, when it is decoded anew, what goes wrong."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from concepthash.data.cache import cache_folder, decode_image, load_pixels
from concepthash.data.image_set import ImageSet
from concepthash.errors import InputError

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def image_set(root: Path, *paths: Path) -> ImageSet:
    count = len(paths)
    return ImageSet(
        name="test",
        root=root,
        paths=paths,
        labels=np.zeros(count, dtype=np.int64),
        is_train=np.ones(count, dtype=bool),
        class_names=("one",),
        families=("",),
    )


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(256, size=(height, width, 3), dtype=np.uint8))


def decoded(path: Path, image: Image.Image, image_size: int = 4, **settings) -> np.ndarray:
    image.save(path, **settings)
    return decode_image(path, image_size)


# --- what a file becomes -------------------------------------------------------------------


def test_rgb_is_kept_as_it_is(tmp_path):
    image = noise(4, 4)
    pixels = decoded(tmp_path / "a.png", image)
    assert pixels.dtype == np.uint8
    assert (pixels == np.asarray(image)).all()


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 10
    pixels = decoded(tmp_path / "a.png", Image.fromarray(grey))
    assert (pixels == grey[:, :, None]).all()


def test_sixteen_bits_keep_the_upper_eight(tmp_path):
    deep = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    pixels = decoded(tmp_path / "a.png", Image.fromarray(deep))
    assert (pixels == (deep // 256)[:, :, None]).all()


def test_black_and_white(tmp_path):
    image = Image.new("1", (4, 4))
    image.putpixel((1, 0), 1)
    pixels = decoded(tmp_path / "a.png", image)
    assert (pixels[0, 1] == 255).all()
    assert pixels.sum() == 3 * 255


def test_what_is_transparent_becomes_white(tmp_path):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))  # black, if its alpha were dropped
    image.putpixel((1, 0), (*RED, 255))
    image.putpixel((2, 0), (*RED, 51))  # a fifth of red on white
    pixels = decoded(tmp_path / "a.png", image)
    assert pixels[0, 1].tolist() == [255, 0, 0]
    assert pixels[0, 2].tolist() == [255, 204, 204]
    assert (pixels[0, 3] == 255).all()
    assert (pixels[1:] == 255).all()


def test_grey_with_alpha(tmp_path):
    image = Image.new("LA", (4, 4), (0, 0))
    image.putpixel((3, 3), (100, 255))
    pixels = decoded(tmp_path / "a.png", image)
    assert pixels[3, 3].tolist() == [100, 100, 100]
    assert (pixels[:3] == 255).all()


def test_a_palette(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([*BLUE, *RED, 7, 8, 9])
    image.putpixel((2, 1), 2)
    pixels = decoded(tmp_path / "a.png", image)
    assert pixels[1, 2].tolist() == [7, 8, 9]
    assert pixels[0, 0].tolist() == [255, 0, 0]


def test_a_transparent_entry_of_a_palette_becomes_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([*BLUE, *RED])
    image.putpixel((2, 1), 1)
    pixels = decoded(tmp_path / "a.gif", image, transparency=0)
    assert pixels[1, 2].tolist() == [255, 0, 0]
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_a_transparent_colour_becomes_white(tmp_path):
    image = Image.new("RGB", (4, 4), BLUE)
    image.putpixel((2, 1), RED)
    pixels = decoded(tmp_path / "a.png", image, transparency=BLUE)
    assert pixels[1, 2].tolist() == [255, 0, 0]
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_cmyk(tmp_path):
    pixels = decoded(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), 8)
    assert pixels[4, 4] == pytest.approx(RED, abs=8)


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.transpose(1, 0, 2)),
        (6, lambda p: p.transpose(1, 0, 2)[:, ::-1]),  # a quarter turn clockwise
        (7, lambda p: p[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda p: p.transpose(1, 0, 2)[::-1]),
    ],
)
def test_a_photo_stands_as_its_camera_was_held(tmp_path, orientation, turned):
    image, exif = noise(7, 4), Image.Exif()
    exif[0x0112] = orientation
    pixels = decoded(tmp_path / "a.png", image, exif=exif)
    assert (pixels == turned(np.asarray(image))).all()


@pytest.mark.parametrize(
    ("width", "height", "side", "expected"),
    [(40, 20, 10, (10, 20)), (20, 50, 10, (25, 10)), (30, 30, 32, (32, 32)), (1, 9, 4, (36, 4))],
)
def test_the_shorter_side_is_the_size_asked_for(tmp_path, width, height, side, expected):
    assert decoded(tmp_path / "a.png", noise(width, height), side).shape == (*expected, 3)


@pytest.mark.parametrize(("width", "height"), [(301, 200), (200, 301), (333, 334)])
def test_neither_side_is_shorter_than_asked_for(tmp_path, width, height):
    sides = decoded(tmp_path / "a.png", noise(width, height), 7).shape[:2]
    assert min(sides) == 7
    assert max(sides) == pytest.approx(7 * max(width, height) / min(width, height), abs=0.5)


def test_a_plain_image_stays_plain_when_it_is_scaled(tmp_path):
    pixels = decoded(tmp_path / "a.png", Image.new("RGB", (50, 31), (10, 200, 90)), 8)
    assert (pixels == [10, 200, 90]).all()


# --- once ----------------------------------------------------------------------------------


def test_images_come_in_the_order_of_the_set(tmp_path):
    sides = [(4, 4), (8, 4), (4, 9), (4, 4)]
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for i, (path, side) in enumerate(zip(paths, sides, strict=True)):
        noise(*side, seed=i).save(path)
    pixels = load_pixels(image_set(tmp_path, *paths), 4)
    assert len(pixels) == 4
    for i, side in enumerate(sides):
        assert (pixels[i].permute(1, 2, 0).numpy() == np.asarray(noise(*side, seed=i))).all()


def test_an_image_is_a_copy_that_may_be_changed(tmp_path):
    noise(4, 4).save(tmp_path / "a.png")
    pixels = load_pixels(image_set(tmp_path, tmp_path / "a.png"), 4)
    assert not np.shares_memory(pixels[0].numpy(), pixels.flat)


def test_a_second_call_does_not_decode(tmp_path):
    path = tmp_path / "a.png"
    noise(4, 4).save(path)
    first = load_pixels(image_set(tmp_path, path), 4)[0]
    path.write_bytes(bytes(path.stat().st_size))  # as long as before, but no image any more
    assert load_pixels(image_set(tmp_path, path), 4)[0].equal(first)


def test_a_second_call_on_the_same_set_does_not_even_look(tmp_path):
    path = tmp_path / "a.png"
    noise(4, 4).save(path)
    images = image_set(tmp_path, path)
    first = load_pixels(images, 4)[0]
    path.unlink()
    assert load_pixels(images, 4)[0].equal(first)


def test_a_changed_file_is_decoded_anew(tmp_path):
    path = tmp_path / "a.png"
    noise(4, 4).save(path)
    load_pixels(image_set(tmp_path, path), 4)
    Image.new("RGB", (4, 4), RED).save(path)
    changed = load_pixels(image_set(tmp_path, path), 4)[0]
    assert changed[:, 0, 0].tolist() == [255, 0, 0]


def test_each_size_has_its_own_pixels(tmp_path):
    path = tmp_path / "a.png"
    noise(16, 16).save(path)
    images = image_set(tmp_path, path)
    assert [load_pixels(images, side)[0].shape[-1] for side in (4, 8, 4)] == [4, 8, 4]


def test_a_moved_set_is_known_again(tmp_path):
    (tmp_path / "here").mkdir()
    noise(4, 4).save(tmp_path / "here" / "a.png")
    first = load_pixels(image_set(tmp_path / "here", tmp_path / "here" / "a.png"), 4)[0]
    (tmp_path / "here").rename(tmp_path / "there")
    path = tmp_path / "there" / "a.png"
    path.write_bytes(bytes(path.stat().st_size))
    assert load_pixels(image_set(tmp_path / "there", path), 4)[0].equal(first)


# --- what goes wrong -----------------------------------------------------------------------


def corrupt(folder: Path) -> dict[str, Path]:
    """Files that cannot be decoded, each in another way."""
    noise(30, 30).save(folder / "good.png")
    whole = (folder / "good.png").read_bytes()
    contents = {
        "text.jpg": b"no image at all",
        "empty.png": b"",
        "cut.png": whole[: len(whole) // 2],
        # 50,000 x 50,000 pixels are promised: more than Pillow takes.
        "bomb.bmp": b"BM"
        + bytes(8)
        + (54).to_bytes(4, "little")
        + (40).to_bytes(4, "little")
        + (50_000).to_bytes(4, "little") * 2
        + bytes([1, 0, 24, 0])
        + bytes(24),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def test_all_that_cannot_be_decoded_is_named_at_once_and_nothing_is_left(tmp_path):
    broken = corrupt(tmp_path)
    paths = [broken["text.jpg"], tmp_path / "good.png", *list(broken.values())[1:]]
    images = image_set(tmp_path, *paths)
    with pytest.raises(InputError) as caught:
        load_pixels(images, 8)
    lines = caught.value.lines
    assert len(lines) == len(broken)
    for line, path in zip(lines, broken.values(), strict=True):
        assert line.startswith(f"{path}: cannot be decoded (")
        assert line.endswith("); replace it or take it off the list")
        assert "\n" not in line
    assert "(not an image)" in lines[0]
    assert not list((cache_folder() / "pixels").iterdir())


def test_a_replaced_image_mends_the_set(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"no image at all")
    with pytest.raises(InputError):
        load_pixels(image_set(tmp_path, path), 4)
    Image.new("RGB", (4, 4), RED).save(path)
    assert load_pixels(image_set(tmp_path, path), 4)[0][:, 0, 0].tolist() == [255, 0, 0]


def test_processes_at_once_get_the_same_pixels_and_leave_one_copy(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(60):
        noise(40, 50, seed=i).save(folder / f"{i:02}.png")
    images = image_set(folder, *sorted(folder.iterdir()))
    context = multiprocessing.get_context("fork")
    start, digests = context.Barrier(3), context.SimpleQueue()

    def decode() -> None:
        start.wait(timeout=30)
        digests.put(hashlib.sha256(load_pixels(images, 32).flat).hexdigest())

    processes = [context.Process(target=decode) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len({digests.get() for _ in processes}) == 1
    assert len(list((cache_folder() / "pixels").iterdir())) == 1
