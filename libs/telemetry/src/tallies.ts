import { assert } from "@kiseki/base";

export type Labels = Readonly<Record<string, string>>;

/** What a registry of prom-client asks of a metric that it shows. */
interface Shown {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "histogram";
  readonly aggregator: "sum";
  readonly values: readonly {
    readonly metricName?: string;
    readonly labels: Readonly<Record<string, string | number>>;
    readonly value: number;
  }[];
}

export interface TallyOptions {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

interface Node<T> {
  readonly next: Map<string | undefined, Node<T>>;
  cell: T | undefined;
}

/** A cell for each set of labels, found without a text or an object being made. */
class Cells<T> {
  readonly all: T[] = [];
  readonly #names: readonly string[];
  readonly #make: (labels: Labels) => T;
  readonly #root: Node<T> = { next: new Map(), cell: undefined };

  constructor(names: readonly string[], make: (labels: Labels) => T) {
    this.#names = names;
    this.#make = make;
    if (names.length === 0) this.find({}); // is shown before anything was counted
  }
  find(labels: Labels): T {
    let node = this.#root;
    let unknown = 0;
    for (const _ in labels) unknown += 1;
    for (const name of this.#names) {
      const value = labels[name];
      if (value !== undefined) unknown -= 1;
      let next = node.next.get(value);
      if (next === undefined) node.next.set(value, (next = { next: new Map(), cell: undefined }));
      node = next;
    }
    assert(unknown === 0, "every label is one of the metric's");
    return (node.cell ??= this.#open(labels));
  }
  #open(labels: Labels): T {
    const cell = this.#make({ ...labels });
    this.all.push(cell);
    return cell;
  }
}

export class CounterTally {
  readonly name: string;
  readonly type = "counter";
  readonly #help: string;
  readonly #cells: Cells<{ readonly labels: Labels; total: number }>;

  constructor({ name, help, labelNames }: TallyOptions) {
    this.name = name;
    this.#help = help;
    this.#cells = new Cells(labelNames, (labels) => ({ labels, total: 0 }));
  }
  add(amount: number, labels: Labels): void {
    assert(amount >= 0 && Number.isFinite(amount), "a counter grows by a number");
    this.#cells.find(labels).total += amount;
  }
  get(): Promise<Shown> {
    const { name, type } = this;
    const values = this.#cells.all.map(({ labels, total }) => ({ labels, value: total }));
    return Promise.resolve({ name, help: this.#help, type, aggregator: "sum", values });
  }
}

interface HistogramCell {
  readonly labels: Labels;
  /** Of each bucket alone, not of those below. */
  readonly counts: number[];
  count: number;
  sum: number;
}

export class HistogramTally {
  readonly name: string;
  readonly type = "histogram";
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #cells: Cells<HistogramCell>;

  constructor(options: TallyOptions & { readonly bounds: readonly number[] }) {
    this.name = options.name;
    this.#help = options.help;
    this.#bounds = options.bounds;
    const counts = options.bounds.map(() => 0);
    this.#cells = new Cells(options.labelNames, (labels) => ({
      ...{ labels, counts: [...counts], count: 0, sum: 0 },
    }));
  }
  observe(value: number, labels: Labels): void {
    assert(Number.isFinite(value), "a histogram observes numbers");
    const cell = this.#cells.find(labels);
    cell.count += 1;
    cell.sum += value;
    const bounds = this.#bounds;
    for (let at = 0; at < bounds.length; at++) {
      if (value > bounds[at]!) continue;
      cell.counts[at]! += 1;
      return;
    }
  }
  get(): Promise<Shown> {
    const { name, type } = this;
    const values = this.#cells.all.flatMap((cell) => this.#show(cell));
    return Promise.resolve({ name, help: this.#help, type, aggregator: "sum", values });
  }
  #show({ labels, counts, count, sum }: HistogramCell): Shown["values"][number][] {
    const metricName = `${this.name}_bucket`;
    let below = 0;
    const buckets = this.#bounds.map((le, at) => {
      below += counts[at]!;
      return { metricName, labels: { le, ...labels }, value: below };
    });
    return [
      ...buckets,
      { metricName, labels: { le: "+Inf", ...labels }, value: count },
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}
