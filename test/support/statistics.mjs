// What a series of measurements says of its median, whatever their distribution.

/**
 * The median, and the interval between two of the values that holds the true one with the confidence given (0.95 or more): as many
 * values lie on either side of it as heads may come up in so many throws of a coin. With fewer than six values no interval is as sure.
 */
export function medianWithInterval(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const count = sorted.length;
  const middle = count >> 1;
  const median = count % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  // P(at most k of n heads), summed up while both tails together stay within 5 %.
  let term = 0.5 ** count;
  let tail = 0;
  let cut = 0;
  while (cut < middle && 2 * (tail + term) <= 0.05) {
    tail += term;
    term *= (count - cut) / (cut + 1);
    cut += 1;
  }
  if (cut === 0) return { median, interval: [-Infinity, Infinity], confidence: 1 };
  return { median, interval: [sorted[cut - 1], sorted[count - cut]], confidence: 1 - 2 * tail };
}
