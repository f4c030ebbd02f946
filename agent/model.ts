/** @module What the program says: findings and the status document (a contract: docs/status.schema.json). */
import type { AnswerCulprit, CulpritPlace, Evidence, Reason } from '../checks/check.ts';
import type { Family } from '../checks/family.ts';
import type { FirewallPlace } from '../checks/firewall-verdict.ts';
import type { Kind, Level } from '../rules/schema.ts';

export type Outcome = 'pass' | 'fail' | 'skip' | 'unknown';
export type Readiness = 'ready' | 'not-ready' | 'unknown';
export type Direction = 'outbound' | 'inbound';

export type FindingTarget =
  | { readonly scope: 'node' }
  | {
      readonly scope: 'peer';
      readonly name: string;
      readonly address: string;
      readonly family: Family;
      readonly direction: Direction;
    };

export interface Culprit {
  readonly where: CulpritPlace;
  readonly node: string;
  readonly firewall?: FirewallPlace;
  /** Others that decide the same, where their order is not known. */
  readonly candidates?: readonly FirewallPlace[];
}

export interface Remedy {
  readonly manager: string;
  readonly on: string;
  readonly commands: readonly string[];
}

/** One requirement, one target, what came out, and since when. */
export interface Finding {
  readonly requirement: string;
  readonly kind: Kind | 'agent';
  readonly level: Level;
  readonly outcome: Outcome;
  readonly reason?: Reason;
  readonly message: string;
  readonly target: FindingTarget;
  readonly evidence: Evidence;
  readonly culprit: Culprit | null;
  readonly remedy: readonly Remedy[] | null;
  readonly documentation?: string;
  readonly sources: readonly string[];
  /** A group of which one must pass; not part of the document. */
  readonly anyOf?: string;
  /** Whether one direction that works is enough; not part of the document. */
  readonly eitherDirection?: boolean;
  readonly since: string;
  readonly checkedAt: string;
  readonly durationSeconds: number;
}

export interface Summary {
  readonly pass: number;
  readonly fail: number;
  readonly warn: number;
  readonly info: number;
  readonly unknown: number;
  readonly skip: number;
}

export type AgentPresence = 'reachable' | 'absent' | 'unreachable' | 'unknown';

export interface PeerStatus {
  readonly name: string;
  readonly address: string;
  readonly agent: AgentPresence;
}

export type OptionSource = 'flag' | 'environment' | 'file' | 'detected' | 'default';

/** `check --format json` and `GET /status`. */
export interface StatusDocument {
  readonly schema: 'cni-preflight/status/v1';
  readonly agent: { readonly version: string };
  readonly node: {
    readonly name: string;
    readonly addresses: readonly string[];
    readonly kernel: string;
    readonly os: string;
    readonly architecture: string;
  };
  readonly provider: {
    readonly name: string;
    readonly options: Readonly<Record<string, string | number | boolean>>;
    readonly source: OptionSource;
  } | null;
  /** Only with `--provider all`. */
  readonly providers?: readonly ProviderVerdict[];
  readonly readiness: Readiness;
  /** Why it is not ready, worst first; empty when ready. */
  readonly reasons?: readonly string[];
  readonly since: string;
  readonly summary: Summary;
  readonly peers: readonly PeerStatus[];
  readonly findings: readonly Finding[];
  readonly startedAt: string;
  readonly durationSeconds: number;
}

export interface ProviderVerdict {
  readonly name: string;
  readonly options: Readonly<Record<string, string | number | boolean>>;
  readonly readiness: Readiness;
  readonly summary: Summary;
}

export type { AnswerCulprit };
