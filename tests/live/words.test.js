import assert from "node:assert/strict";
import { test } from "node:test";
import { START } from "../../book/live/state.js";
import { done, number, percent, question, share, verdict } from "../../book/live/words.js";

const shares = {
  clean: { "": 0.86 },
  saturation: { 2: 0.86, 4: 0.8, inf: 0.34 },
  "patch-shuffle": { 1: 0.86, 8: 0.23 },
  "low-pass": { 0.3: 0.21, 0.5: 0.42 },
  "pgd-linf": { 8: 0 },
};
const said = (change) => share(shares, { ...START, ...change }).replaceAll("\u00a0", " ");

test("numbers as people read them", () => {
  assert.deepEqual(
    [0, 0.001, 0.5, 0.999, 1].map(percent).map((text) => text.replace("\u00a0", " ")),
    ["0 %", "<1 %", "50 %", ">99 %", "100 %"],
  );
  assert.deepEqual([0, 0.0625, 1.0717, 16, 955.4, 1024, Infinity].map(number), [
    "0",
    "0.063",
    "1.07",
    "16",
    "955",
    "1024",
    "∞",
  ]);
});

test("the share of the test pictures at a measured level, between two, and beyond the last", () => {
  assert.equal(said({ operation: "nothing" }), "It recognises 86 % of the test pictures as they are.");
  assert.equal(said({ level: Infinity }), "It recognises 34 % of the test pictures at this level.");
  assert.equal(
    said({ level: 5 }),
    "It recognises 80 % of the test pictures at level 4 and 34 % at level ∞; nothing was measured in between.",
  );
  assert.equal(
    said({ operation: "patches", patches: 32 }),
    "It recognises 23 % of the test pictures in 8×8 patches, the nearest that was measured.",
  );
  assert.equal(
    said({ operation: "low-pass", cutoff: 0.05 }),
    "It recognises 21 % of the test pictures at cut-off 0.3, the nearest that was measured.",
  );
  assert.match(said({ operation: "low-pass", cutoff: 0.3 }), /21 % of the test pictures at this level/);
  assert.match(said({ operation: "low-pass", cutoff: 1.41 }), /42 % of the test pictures at cut-off 0\.5, the nearest/);
  assert.equal(said({ operation: "low-pass", cutoff: 1.42 }), "It recognises 86 % of the test pictures as they are.");
  assert.match(
    said({ operation: "attack", eps: 20 }),
    /86 % of the test pictures as they are, 0 % after an attack of 40 steps at 8\/255/,
  );
});

test("what was done, the question, and what came of the guess", () => {
  assert.equal(done({ ...START, level: 8 }), "saturation 8");
  assert.equal(done({ ...START, operation: "patches" }), "4×4 patches, shuffled");
  assert.match(question({ ...START, operation: "attack" }), /after an attack on that network\?$/);
  assert.match(verdict([true, false], [true, false]), /^You guessed both answers\. This is one picture; /);
  assert.match(verdict([true, true], [true, false]), /^You guessed one of the two answers\. This is one picture; /);
  assert.match(verdict([false, true], [true, false]), /^Neither answer is what you guessed\. .*share of 10,000/);
});
