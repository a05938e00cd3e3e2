// Against atlib.data.square, which is Pillow's: tests/test_live.py writes its squares to the file ATLIB_VECTORS.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { square } from "../../book/live/crop.js";

const vectors = JSON.parse(readFileSync(process.env.ATLIB_VECTORS, "utf8"));

/** A reader of parts of a picture whose pixels are given by a formula, which the Python side knows too. */
function formula(width) {
  return (left, top, w, h) => {
    const part = new Uint8ClampedArray(w * h * 4);
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        const place = (top + y) * width + left + x;
        for (let c = 0; c < 3; c++)
          part[(y * w + x) * 4 + c] = (place * (7 + 4 * c) + ((place * place) % 251) * (c + 1)) % 256;
        part[(y * w + x) * 4 + 3] = 255;
      }
    }
    return part;
  };
}

for (const { width, height, pixels } of vectors.squares) {
  test(`a picture of ${width}×${height} pixels is cropped and resized to the same bytes`, () => {
    assert.deepEqual(square(width, height, formula(width)), Uint8Array.from(pixels));
  });
}

test("a large picture is read in bands of at most a million pixels", () => {
  let most = 0;
  const read = (x, y, w, h) => {
    most = Math.max(most, w * h);
    return new Uint8ClampedArray(w * h * 4);
  };
  square(8000, 6000, read);
  assert.ok(most > 0 && most <= 2 ** 20);
});
