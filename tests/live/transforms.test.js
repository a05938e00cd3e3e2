// Against what atlib gives for the same input: tests/test_live.py writes it to the file ATLIB_VECTORS.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { bytes, floats, lowPass, saturation, saturationTable, shuffle } from "../../book/live/transforms.js";

const vectors = JSON.parse(readFileSync(process.env.ATLIB_VECTORS, "utf8"));
const picture = Uint8Array.from(vectors.picture);
const furthest = (one, two) => {
  assert.equal(one.length, two.length);
  return one.reduce((most, value, i) => Math.max(most, Math.abs(value - two[i])), 0);
};

test("saturation is that of atlib: bit for bit as bytes, to the last digit or two as numbers", () => {
  for (const { level, table } of vectors.saturation) {
    const found = saturationTable(level === "inf" ? Infinity : level);
    assert.ok(furthest(found, table) <= 2 ** -23, `level ${level}: ${furthest(found, table)}`);
    assert.deepEqual(bytes(found), bytes(Float32Array.from(table)), `level ${level}`);
    assert.ok(!found.some(Number.isNaN));
  }
  assert.deepEqual(saturation(picture, 2), floats(picture));
});

test("bytes come back through numbers, and halves go to even ones", () => {
  const every = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(bytes(floats(every)), every);
  assert.deepEqual([...bytes(Float32Array.of(0.5 / 255, 1.5 / 255, 2.5 / 255, 1))], [0, 2, 2, 255]);
});

test("patches are put together as atlib does it, bit for bit", () => {
  for (const { count, order, shuffled } of vectors.shuffle) {
    assert.deepEqual(shuffle(picture, count, order), Uint8Array.from(shuffled), `${count} patches`);
  }
});

test("the low-pass filter is that of atlib, and as bytes the same picture", () => {
  for (const { cutoff, filtered } of vectors.lowPass) {
    const found = lowPass(floats(picture), cutoff);
    assert.ok(furthest(found, filtered) < 1e-6, `cut-off ${cutoff}: ${furthest(found, filtered)}`);
    assert.ok(furthest(bytes(found), bytes(Float32Array.from(filtered))) <= 1);
  }
});
