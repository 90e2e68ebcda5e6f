/** What a benchmark is: a name, a run that reports figures as it gets them, and bounds that say what is good enough. */

export interface Figure {
  /** Stable, dotted: `insert.tps.captured`. */
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the project holds itself to; figures without are for information. */
  readonly bound?: {
    readonly sense: 'at most' | 'at least';
    /** Missing it fails the run. */
    readonly limit: number;
    readonly aim: number;
  };
}

export interface Bench {
  /** One line for the list of benchmarks. */
  readonly title: string;
  /** Reports each figure once; returns what a reader needs to judge them: versions, sizes, settings. */
  run(report: (figure: Figure) => void): Promise<Readonly<Record<string, string | number | boolean>>>;
}

export function meets({ value, bound }: Figure, wanted: 'limit' | 'aim'): boolean {
  if (bound === undefined) return true;
  return bound.sense === 'at most' ? value <= bound[wanted] : value >= bound[wanted];
}

/** One line for a terminal. */
export function displayFigure(figure: Figure): string {
  const { name, value, unit, bound } = figure;
  const rounded = Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(3);
  if (bound === undefined) return `${name} ${rounded} ${unit}`;
  const verdict = meets(figure, 'aim') ? 'good' : meets(figure, 'limit') ? 'enough' : 'MISSED';
  return `${name} ${rounded} ${unit} (${verdict}: ${bound.sense} ${bound.limit}, aim ${bound.aim})`;
}

/** The middle value, which one disturbed round does not move. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
