import { expect, test } from "bun:test";
import { readJunit, skipFaults } from "./report.ts";

const junit = `<testsuites><testsuite name="a.test.ts">
<testcase name="one" classname="" file="a.test.ts" line="1" />
<testcase name="a &gt; b" classname="group" file="a.test.ts" line="2"><failure message="x">no</failure></testcase>
<testcase name="two" classname="" file="a.test.ts" line="3"><skipped /></testcase>
</testsuite></testsuites>`;

test("readJunit() counts what passed, names what failed and was skipped", () => {
  const failed = ["a.test.ts › group › a > b"];
  expect(readJunit(junit)).toEqual({ passed: 1, failed, skipped: ["a.test.ts › two"] });
  expect(readJunit("")).toEqual({ passed: 0, failed: [], skipped: [] });
});

test("skipFaults() wants the committed list, no more and no less", () => {
  const expected = [{ test: "a", reason: "needs a kernel module" }];
  expect(skipFaults(["a"], expected, {})).toEqual([]);
  expect(skipFaults(["a", "b"], expected, {})).toHaveLength(1);
  expect(skipFaults([], expected, {})).toHaveLength(1);
  expect(skipFaults([], [{ test: "a", reason: "" }], {})).toHaveLength(2);
});

test("skipFaults() expects a skip only where the machine lacks what it needs", () => {
  const expected = [{ test: "a", reason: "needs a kernel module", unless: "fuse" }];
  expect(skipFaults(["a"], expected, { fuse: false })).toEqual([]);
  expect(skipFaults(["a"], expected, { fuse: true })).toHaveLength(1);
  expect(skipFaults([], expected, { fuse: true })).toEqual([]);
});
