import assert from "node:assert/strict";
import { test } from "node:test";
import { PLACES, START, address, levelAt, placeOf, read } from "../../book/live/state.js";

const pictures = ["cat", "ship"];

test("an address gives back the state that it was made of", () => {
  const states = [
    START,
    { ...START, picture: "cat", operation: "saturation", level: Infinity },
    { ...START, operation: "saturation", level: 0 },
    { ...START, operation: "patches", patches: 16, draw: 7 },
    { ...START, operation: "low-pass", cutoff: 0.55 },
    { ...START, operation: "attack", eps: 64 },
    { ...START, operation: "nothing" },
  ];
  for (const state of states) assert.deepEqual(read(address(state), pictures), state);
  assert.equal(address(states[1]), "#picture=cat&do=saturation&level=inf");
});

test("what is impossible or missing in an address is as at the start", () => {
  const odd = [
    "",
    "#",
    "#picture=dog&do=fly",
    "#picture=own",
    "#do=saturation&level=-1",
    "#do=saturation&level=x",
    "#do=saturation&level=",
    "#do=saturation&level=+",
    "#do=saturation&level=1e100",
    "#do=saturation&level=1e-9",
    "#what-you-see",
  ];
  for (const text of odd) assert.deepEqual(read(text, pictures), START, text);
  assert.ok(Object.is(read("#do=saturation&level=-0", pictures).level, 0));
  const begun = { ...START, operation: "patches" };
  for (const text of ["patches=3", "patches=0", "patches=64", "draw=0", "draw=1.5", "draw=1e9"]) {
    assert.deepEqual(read(`#do=patches&${text}`, pictures), begun, text);
  }
  assert.deepEqual(read("#do=attack&eps=65", pictures), { ...START, operation: "attack" });
});

test("the saturation slider has every measured level, grey and infinity at its ends", () => {
  for (const level of [0, 0.25, 0.5, 1, 2, 4, 8, 16, 64, 1024, Infinity]) assert.equal(levelAt(placeOf(level)), level);
  assert.deepEqual([levelAt(0), levelAt(PLACES)], [0, Infinity]);
  for (let place = 1; place < PLACES; place++) assert.equal(placeOf(levelAt(place)), place);
});
