/** @module Tests that peers ask for, towards themselves. */
import { type Answer, type PeerTarget, skip, unknown } from '../checks/check.ts';
import type { Family } from '../checks/family.ts';
import type { ProbeWish } from '../checks/peer-channel.ts';
import { isWishable } from '../checks/peer-protocol.ts';
import { isOwnTurn } from '../checks/turns.ts';
import { paramsByKind, type Requirement } from '../rules/schema.ts';
import { fits } from '../rules/validate.ts';
import type { Diagnoses } from './diagnosis.ts';
import type { Node } from './node.ts';
import { runTest, type SharedContext } from './run-test.ts';

/** Runs one wish towards its asker. What the peer wrote is checked against the catalogue's schema first. */
export async function runWish(
  wish: ProbeWish,
  asker: { readonly address: string; readonly family: Family },
  given: {
    readonly node: Node;
    readonly shared: SharedContext;
    readonly takesTurns: boolean;
    readonly signal: AbortSignal;
    readonly diagnoses: Diagnoses;
    readonly onCrash: (error: unknown) => void;
  },
): Promise<Answer> {
  const { kind } = wish;
  const requirement = readWish(wish);
  if (requirement === undefined || !isWishable(kind))
    return unknown('not-in-the-catalogue-of-the-peer');
  const own = given.node.underlay.find(({ family }) => family === asker.family)?.address;
  if (
    kind === 'ip-protocol' &&
    given.takesTurns &&
    own !== undefined &&
    !isOwnTurn(own, asker.address, Date.now())
  )
    return skip('other-slot');
  const target: PeerTarget = {
    scope: 'peer',
    name: asker.address,
    address: asker.address,
    family: asker.family,
    mustReach: wish.mustReach,
  };
  const channel = given.node.channel(asker.address, asker.family);
  const { shared, signal, diagnoses } = given;
  const answer = await runTest(requirement, target, shared, channel, signal, given.onCrash);
  return await diagnoses.explain({ requirement, target }, answer, signal);
}

function readWish({ kind, params }: ProbeWish): Pick<Requirement, 'kind' | 'params'> | undefined {
  if (!isWishable(kind)) return undefined;
  const port = params['port'];
  if (port !== undefined && !(typeof port === 'number' && port >= 1 && port <= 65535))
    return undefined;
  if (!fits(paramsByKind[kind], params)) return undefined;
  return { kind, params } as Pick<Requirement, 'kind' | 'params'>;
}
