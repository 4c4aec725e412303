import { isFull, seedChosen, testSeeds } from "./many-seeds.test-helper.ts";

// The second half of a full run; see sim-run.test.ts.
testSeeds(1001, isFull && seedChosen === undefined ? 1000 : 0);
