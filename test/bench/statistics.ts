// The few statistics of the bench's figures.

/** Rounded to some decimal digits. */
export const rounded = (value: number, digits = 1): number => Number(value.toFixed(digits));

/** The arithmetic mean; NaN of none. */
export const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;

/** The value below which a share of the values, in [0, 1), lies; NaN of none. */
export const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;

/** The median; NaN of none. */
export const median = (values: readonly number[]): number => percentile(values, 0.5);
