// The few statistics of the bench's figures.

export const rounded = (value: number, digits = 1): number => Number(value.toFixed(digits));

export const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;

/** The value that a share of them, in [0, 1), are below; NaN of none. */
export const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;

export const median = (values: readonly number[]): number => percentile(values, 0.5);
