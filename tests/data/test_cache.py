"""The cache of decoded images: when it is used, errors, several processes."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from concepthash.data import cache
from concepthash.data.cache import load_pixels
from concepthash.data.decode import decode_image
from concepthash.data.folders import cache_folder
from concepthash.data.image_set import ImageSet
from concepthash.errors import InputError

RED = (255, 0, 0)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch) -> None:
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


# --- the cache -----------------------------------------------------------------------------


def test_pixels_are_in_the_order_of_the_image_set(tmp_path):
    sides = [(4, 4), (8, 4), (4, 9), (4, 4)]
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for i, (path, side) in enumerate(zip(paths, sides, strict=True)):
        noise(*side, seed=i).save(path)
    pixels = load_pixels(image_set(tmp_path, *paths), 4)
    assert len(pixels) == 4
    for i, side in enumerate(sides):
        assert (pixels[i].permute(1, 2, 0).numpy() == np.asarray(noise(*side, seed=i))).all()


def test_image_is_a_copy_of_the_cached_pixels(tmp_path):
    noise(4, 4).save(tmp_path / "a.png")
    pixels = load_pixels(image_set(tmp_path, tmp_path / "a.png"), 4)
    assert not np.shares_memory(pixels[0].numpy(), pixels.flat)


def no_decoding(monkeypatch) -> None:
    monkeypatch.setattr(cache, "decode_image", lambda *_: pytest.fail("an image was decoded"))


def test_cached_images_are_not_decoded_again(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    noise(4, 4).save(path)
    first = load_pixels(image_set(tmp_path, path), 4)[0]
    no_decoding(monkeypatch)
    assert load_pixels(image_set(tmp_path, path), 4)[0].equal(first)


def test_changed_file_of_equal_size_is_decoded_again(tmp_path):
    path = tmp_path / "a.bmp"
    noise(4, 4).save(path)
    size = path.stat().st_size
    load_pixels(image_set(tmp_path, path), 4)
    Image.new("RGB", (4, 4), RED).save(path)
    assert path.stat().st_size == size
    changed = load_pixels(image_set(tmp_path, path), 4)[0]
    assert changed[:, 0, 0].tolist() == [255, 0, 0]


def test_each_image_size_has_its_own_cache(tmp_path):
    path = tmp_path / "a.png"
    noise(16, 16).save(path)
    images = image_set(tmp_path, path)
    assert [load_pixels(images, side)[0].shape[-1] for side in (4, 8, 4)] == [4, 8, 4]


def test_cache_is_found_after_the_data_set_moved(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    noise(4, 4).save(tmp_path / "here" / "a.png")
    first = load_pixels(image_set(tmp_path / "here", tmp_path / "here" / "a.png"), 4)[0]
    (tmp_path / "here").rename(tmp_path / "there")
    no_decoding(monkeypatch)
    moved = image_set(tmp_path / "there", tmp_path / "there" / "a.png")
    assert load_pixels(moved, 4)[0].equal(first)


# --- a broken cache ------------------------------------------------------------------------


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def half_zeros(content: bytes) -> bytes:
    return halved(content).ljust(len(content), b"\0")


@pytest.fixture
def birds(tmp_path) -> ImageSet:
    for i in range(3):
        noise(6, 4 + i, seed=i).save(tmp_path / f"{i}.png")
    return image_set(tmp_path, *(tmp_path / f"{i}.png" for i in range(3)))


def cached_file(name: str) -> Path:
    (folder,) = (cache_folder() / "pixels").iterdir()
    return folder / name


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("pixels.bin", half_zeros),
        ("pixels.bin", halved),
        ("pixels.bin", lambda content: content + b"\0"),
        ("pixels.bin", lambda content: b""),
        ("header.json", half_zeros),
        ("header.json", halved),
        ("header.json", lambda content: b"{}"),
        ("header.json", lambda content: content.replace(b"[4, 6], [4, 5]", b"[4, 5], [4, 6]")),
    ],
)
def test_a_broken_cache_is_decoded_anew_and_a_warning_names_it(birds, caplog, name, damage):
    whole = load_pixels(birds, 4).flat.tobytes()
    file = cached_file(name)
    content = file.read_bytes()
    file.write_bytes(damage(content))
    assert file.read_bytes() != content
    assert load_pixels(birds, 4).flat.tobytes() == whole
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{file.parent}: ")
    assert record.getMessage().endswith("; the images are decoded again")
    assert file.read_bytes() == content


@pytest.mark.parametrize("name", ["pixels.bin", "header.json"])
def test_a_cache_that_lost_a_file_is_decoded_anew(birds, name):
    whole = load_pixels(birds, 4).flat.tobytes()
    cached_file(name).unlink()
    assert load_pixels(birds, 4).flat.tobytes() == whole


def test_pixels_already_open_stay_when_their_cache_is_decoded_anew(birds):
    opened = load_pixels(birds, 4)
    whole = opened.flat.tobytes()
    cached_file("header.json").unlink()
    load_pixels(birds, 4)
    assert opened.flat.tobytes() == whole


def test_pixels_and_header_are_on_the_disk_before_the_cache_has_its_name(birds, monkeypatch):
    events = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(
        os, "fsync", lambda fd: (events.append(Path(os.readlink(f"/proc/self/fd/{fd}"))), fsync(fd))
    )
    monkeypatch.setattr(os, "rename", lambda *to: (events.append("rename"), rename(*to)))
    load_pixels(birds, 4)
    before = events[: events.index("rename")]
    assert [path.name for path in before[-3:]] == ["pixels.bin", "header.json", "made"]
    assert events[-1] == cache_folder() / "pixels"


def test_pixels_that_decay_without_a_new_mtime_are_noticed_by_the_next_process(
    birds, caplog, monkeypatch
):
    whole = load_pixels(birds, 4).flat.tobytes()
    file = cached_file("pixels.bin")
    stat = file.stat()
    file.write_bytes(half_zeros(whole))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    load_pixels(birds, 4)  # has the checksum from before
    assert not caplog.records
    monkeypatch.setattr(cache, "_checksums", {})  # as in a new process
    assert load_pixels(birds, 4).flat.tobytes() == whole
    assert len(caplog.records) == 1


# --- errors --------------------------------------------------------------------------------


def corrupt(folder: Path) -> dict[str, Path]:
    """Files that cannot be decoded, for different reasons."""
    noise(30, 30).save(folder / "good.png")
    whole = (folder / "good.png").read_bytes()
    contents = {
        "text.jpg": b"no image at all",
        "empty.png": b"",
        "cut.png": whole[: len(whole) // 2],
        # Its header says 50,000 x 50,000 pixels, more than Pillow accepts.
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


def test_error_names_every_image_that_cannot_be_decoded_and_nothing_is_cached(tmp_path):
    broken = corrupt(tmp_path)
    paths = [broken["text.jpg"], tmp_path / "good.png", *list(broken.values())[1:]]
    images = image_set(tmp_path, *paths)
    with pytest.raises(InputError) as caught:
        load_pixels(images, 8)
    lines = caught.value.lines
    assert len(lines) == len(broken)
    for line, path in zip(lines, broken.values(), strict=True):
        assert line.startswith(f"{path}: cannot be decoded (")
        assert line.endswith("); replace it, or remove it from the data set")
    assert "(not an image in JPEG, PNG, WEBP, BMP, TIFF or GIF format)" in lines[0]
    assert "(more than 80,000,000 pixels, the most accepted)" in lines[3]
    assert not list((cache_folder() / "pixels").iterdir())


def test_error_names_ten_images_and_the_number_of_others(tmp_path):
    paths = [tmp_path / f"{i:02}.png" for i in range(12)]
    for path in paths:
        path.write_bytes(b"no image at all")
    with pytest.raises(InputError) as caught:
        load_pixels(image_set(tmp_path, *paths), 8)
    *lines, last = caught.value.lines
    assert [line.split(":")[0] for line in lines] == [str(path) for path in paths[:10]]
    assert last == "... and 2 more like these"


def test_images_are_decoded_after_a_broken_one_was_replaced(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"no image at all")
    with pytest.raises(InputError):
        load_pixels(image_set(tmp_path, path), 4)
    Image.new("RGB", (4, 4), RED).save(path)
    assert load_pixels(image_set(tmp_path, path), 4)[0][:, 0, 0].tolist() == [255, 0, 0]


# --- several processes ---------------------------------------------------------------------


def test_two_processes_at_once_decode_each_image_once(tmp_path, monkeypatch):
    folder, log = tmp_path / "images", tmp_path / "decoded.txt"
    folder.mkdir()
    for i in range(8):
        noise(10, 10, seed=i).save(folder / f"{i}.png")
    images = image_set(folder, *sorted(folder.iterdir()))

    def logged(path: Path, image_size: int) -> np.ndarray:
        with log.open("a") as file:
            file.write(f"{path.name}\n")
        time.sleep(0.05)  # so that the other process comes before this one is done
        return decode_image(path, image_size)

    monkeypatch.setattr(cache, "decode_image", logged)
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(2), context.SimpleQueue()

    def decode() -> None:
        start.wait(timeout=30)
        results.put((os.getpid(), load_pixels(images, 8).flat.tobytes()))

    processes = [context.Process(target=decode) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    (one, pixels), (other, same_pixels) = results.get(), results.get()
    assert one != other
    assert pixels == same_pixels
    assert sorted(log.read_text().split()) == [f"{i}.png" for i in range(8)]
    assert len(list((cache_folder() / "pixels").iterdir())) == 1
