/** @module What a diagnosis says: who is to blame for a way that failed, how sure that is, and what could not be seen. Types only. */
import type { CulpritPlace, Reason } from '../check.ts';
import type { FirewallPlace } from '../firewall-verdict.ts';
import type { Remedy } from '../remedy/remedy.ts';
import type { Missing } from './evidence.ts';
import type { Seen, Station } from './facts.ts';

/**
 * `proven`: the packets were seen before the culprit and not behind it, and it was seen to be one that takes them away, or said so
 * itself. `likely`: one explanation fits, and not every other one could be excluded. `ambiguous`: several fit, and all are named.
 */
export type Confidence = 'proven' | 'likely' | 'ambiguous';

/** One explanation. */
export interface Blame {
  /** Row of the table in docs/diagnosis.md. */
  readonly cause: string;
  readonly where: CulpritPlace;
  /** `this` is the sender of the probes, `peer` their receiver. */
  readonly node: 'this' | 'peer' | 'path';
  readonly reason: Reason;
  readonly firewall?: FirewallPlace;
  /** Rules or policies that decide the same; which of them the kernel asks first is not known. */
  readonly firewallCandidates?: readonly FirewallPlace[];
  /** Who said so, where somebody on the way did. */
  readonly saidBy?: string;
  /** What would tell it from the other explanations, to be typed by a person. */
  readonly probe: string;
}

/** What to type, and on which of the two nodes. */
export interface PlacedRemedy extends Remedy {
  readonly on: 'this' | 'peer';
}

/** Rules and observation that contradict one another. */
export interface Disagreement {
  readonly node: 'this' | 'peer';
  readonly packet: 'probe' | 'answer';
  readonly kind: 'accepted-but-lost' | 'dropped-but-passed';
}

/** Evidence that there is none of. */
export type MissingPart =
  | 'receiver'
  | 'receiver-taps'
  | 'receiver-witness'
  | 'receiver-rules'
  | 'sender-taps'
  | 'sender-rules'
  | 'sender-stalled'
  | 'taps-overflowed';

/** How far the packets came. */
export type Course = Readonly<Record<Station, Seen>>;

interface Told {
  readonly course: Course;
  readonly disagreements: readonly Disagreement[];
  readonly missing: readonly MissingPart[];
  /** Why the receiver's half is missing. */
  readonly receiverMissing?: Missing;
}

/** Nothing is lost now: what failed before has ended, or comes and goes. */
export interface Open extends Told {
  readonly outcome: 'open';
}

/** The packets are lost, and this is why. Of an ambiguous one the blame is the first of its candidates. */
export interface Blamed extends Told, Blame {
  readonly outcome: 'blamed';
  readonly confidence: Confidence;
  /** All that fit, the likeliest first: two or more where it is ambiguous. */
  readonly candidates: readonly Blame[];
  /** What would take the packets away further on, as the rules there say. */
  readonly further: readonly Blame[];
  /** All of them, in this order, let the packets and their answers pass the two nodes. */
  readonly remedies: readonly PlacedRemedy[];
}

export type Diagnosis = Open | Blamed;
