import assert from "node:assert/strict";
import { test } from "node:test";
import { normals, order, uniform } from "../../book/live/random.js";

test("a seed gives the same draws at every call, another seed others", () => {
  assert.deepEqual(normals(6, 1), normals(6, 1));
  assert.notDeepEqual(normals(6, 1), normals(6, 2));
  assert.equal(uniform(1)(), 0.6270739405881613); // of mulberry32
});

test("normal draws have mean 0, deviation 1 and no pattern from one to the next", () => {
  const draws = normals(100000, 5);
  const mean = draws.reduce((sum, x) => sum + x, 0) / draws.length;
  const square = draws.reduce((sum, x) => sum + x * x, 0) / draws.length;
  const next = draws.slice(1).reduce((sum, x, i) => sum + x * draws[i], 0) / draws.length;
  assert.ok(Math.abs(mean) < 0.015 && Math.abs(square - 1) < 0.02 && Math.abs(next) < 0.015);
  assert.ok(draws.every(Number.isFinite));
});

test("an order holds every place once and is never the one that changes nothing", () => {
  for (let seed = 0; seed < 50; seed++) {
    const found = order(4, seed);
    assert.deepEqual([...found].sort(), [0, 1, 2, 3]);
    assert.notDeepEqual(found, [0, 1, 2, 3]);
  }
  assert.deepEqual(order(1, 0), [0]);
});
