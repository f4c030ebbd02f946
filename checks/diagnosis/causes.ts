/** @module Every cause that a diagnosis knows, in the order of the packets' way: of two that both take a packet the first one does. */
import type { Cause } from './cause.ts';
import { causesOfAnswering } from './causes-of-answering.ts';
import { causesOfReceiving } from './causes-of-receiving.ts';
import { causesOfSending } from './causes-of-sending.ts';
import { causesOfTheWay } from './causes-of-the-way.ts';
import { type Segment, segments } from './facts.ts';

/** The rows of the table in docs/diagnosis.md. */
export const causes: readonly Cause[] = [
  ...causesOfSending,
  ...causesOfTheWay,
  ...causesOfReceiving,
  ...causesOfAnswering,
].sort((one, other) => firstOf(one) - firstOf(other));

function firstOf({ segments: own }: Cause): number {
  return Math.min(...own.map((segment: Segment) => segments.indexOf(segment)));
}
