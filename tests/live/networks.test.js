// Against atlib.attacks and atlib.saliency: tests/test_live.py writes their results to the file ATLIB_VECTORS.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { drawn, factor, largest, logOdds, noisy, softmax, step } from "../../book/live/networks.js";

const vectors = JSON.parse(readFileSync(process.env.ATLIB_VECTORS, "utf8"));
const near = (one, two, part) =>
  assert.ok(Math.abs(one - two) <= part * Math.abs(two) + 1e-300, `${one} is not ${two}`);

test("log-odds, their factor and probabilities, also where a network is certain", () => {
  for (const { logits, label, odds, weight, chances } of vectors.logits) {
    near(logOdds(logits, label), odds, 1e-12);
    near(factor(logits, label), weight, 1e-9);
    softmax(logits).forEach((chance, i) => near(chance, chances[i], 1e-9));
  }
  assert.equal(largest([1, 3, 3, 2]), 1);
});

test("a noisy copy has noise of a tenth of the picture's range, to the last digit", () => {
  const { picture, noise, copy } = vectors.noisy;
  assert.deepEqual(noisy(Float32Array.from(picture), Float32Array.from(noise)), Float32Array.from(copy));
});

test("maps are drawn as atlib draws them: clipped, scaled by themselves, zeros black", () => {
  for (const { map, picture } of vectors.maps) {
    const found = drawn(map);
    picture.forEach((value, i) => assert.ok(Math.abs(value - found[i]) < 1e-6));
  }
});

test("a step of PGD is that of atlib, to the last digit", () => {
  for (const { picture, gradient, centre, eps, size, next } of vectors.steps) {
    const [one, two] = [Float32Array.from(picture), Float32Array.from(centre)];
    assert.deepEqual(step(one, gradient, two, eps, size), Float32Array.from(next));
  }
});
