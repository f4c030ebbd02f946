/** @module Whether both ends run the same overlay: one other VNI, port or MTU, and no pod reaches the other side. */
import { type Check, type Evidence, fail, pass, skip, unknown } from './check.ts';
import { hostAnswers } from './icmp-echo.ts';

/** Compares what this node runs with what the peer says that it runs. */
export const peerAgreement: Check<'peer-agreement'> = {
  kind: 'peer-agreement',
  summary: 'both nodes use the same encapsulation, VNI, port and MTU',
  scope: 'peer',
  needs: [],

  async run({ fields }, target, context) {
    if (target.scope !== 'peer') throw new Error('peer-agreement is for peers');
    const theirs = await context.peer?.facts(context.signal);
    if (theirs === undefined)
      return unknown((await hostAnswers(target, context)) ? 'no-witness' : 'peer-unreachable');
    const evidence: Record<string, string | number> = {};
    let compared = 0;
    let different = false;
    for (const field of fields) {
      const [own, peer] = [context.facts[field], theirs[field]];
      // Zero and empty stand for "not known on that node".
      if (own === 0 || own === '' || peer === 0 || peer === '') continue;
      compared++;
      evidence[`${field}Here`] = own;
      evidence[`${field}There`] = peer;
      if (own !== peer) different = true;
    }
    if (compared === 0) return skip('not-applicable');
    const all: Evidence = evidence;
    return different ? fail('peer-disagrees', all) : pass(all);
  },
};
