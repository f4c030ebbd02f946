/** What a finding says of a diagnosis. */
import { describe, expect, test } from 'vitest';
import { fail } from '../../../../checks/check.ts';
import { diagnose } from '../../../../checks/diagnosis/diagnose.ts';
import { withDiagnosis } from '../../../../checks/diagnosis/diagnosed-answer.ts';
import type { PathEvidence } from '../../../../checks/diagnosis/evidence.ts';
import { pathEvidence as path, placeAt, taking, verdict } from '../../../support/evidence.ts';

const dropped = fail('dropped', { transport: 'udp', port: 8472, sent: 3, witnessed: 0 });
function said(evidence: PathEvidence, answer = dropped) {
  if (answer.outcome !== 'fail') throw new Error('no failure');
  return withDiagnosis(answer, diagnose(evidence), evidence);
}
const drops = { rules: { probe: taking('input'), answer: verdict() } };

describe('an answer with its diagnosis', () => {
  test('names who did it, where the packets came, how sure that is, and what to type where', () => {
    expect(said(path({ last: 'past-ingress', receiver: drops }))).toEqual({
      outcome: 'fail',
      reason: 'dropped-by-receiver-firewall',
      culprit: { where: 'receiver-ingress', node: 'peer', firewall: placeAt('input') },
      remedy: [
        { manager: 'nftables', on: 'peer', commands: ['nft insert rule inet fw input accept'] },
      ],
      evidence: {
        transport: 'udp',
        port: 8472,
        sent: 3,
        left: 3,
        arrived: 3,
        pastIngress: 3,
        witnessed: 0,
        confidence: 'proven',
      },
    });
  });

  test('has no remedy of a rule that is not to blame', () => {
    const own = { ...dropped, remedy: [{ manager: 'nftables', commands: ['nft add rule'] }] };
    const answer = said(path({ last: 'left' }), own);
    expect(answer).toMatchObject({
      reason: 'dropped-on-the-way',
      culprit: { where: 'path', node: 'path' },
    });
    expect(answer).not.toHaveProperty('remedy');
  });

  test('tells what would take it next', () => {
    expect(said(path({ last: 'left', receiver: drops }))).toMatchObject({
      reason: 'dropped-on-the-way',
      evidence: { further: 'dropped-by-receiver-firewall (receiver)' },
      remedy: [{ on: 'peer' }],
    });
  });

  test('that may have several causes keeps its reason, blames nobody, and names them', () => {
    const answer = said(path({ last: 'left', receiver: 'no-agent' }));
    expect(answer).toMatchObject({
      reason: 'dropped',
      evidence: {
        confidence: 'ambiguous',
        missing: 'receiver',
        receiverMissing: 'no-agent',
        candidates:
          'dropped-on-the-way (network between), dropped-by-receiver-ingress (receiver), dropped-by-receiver-firewall (receiver)',
        tellApart: 'on the network between: tcpdump -eni any host 10.0.0.1 and udp port 8472',
      },
    });
    expect(answer).not.toHaveProperty('culprit');
    expect(answer).not.toHaveProperty('remedy');
  });

  test('blames whom all causes blame, and says which rules contradict', () => {
    expect(said(path({ last: 'past-ingress' }))).toMatchObject({
      reason: 'dropped',
      culprit: { where: 'receiver-ingress', node: 'peer' },
      evidence: {
        confidence: 'ambiguous',
        disagreement: 'probe accepted-but-lost by the rules of the receiver',
      },
    });
    const sums = path({ last: 'past-ingress', receiverTaps: { nic: { badChecksums: 3 } } });
    expect(said(sums)).toMatchObject({
      reason: 'bad-checksum',
      evidence: { confidence: 'ambiguous' },
    });
    expect(said(sums)).not.toHaveProperty('culprit');
  });

  test('stands as it was where everything passes now', () => {
    expect(said(path({ last: 'past-input' }))).toMatchObject({
      reason: 'dropped',
      evidence: { witnessed: 3, passedWhenDiagnosed: true },
    });
  });

  test('stays one of fragments, whoever takes them', () => {
    const fragments = fail('fragments-lost', { port: 8472 });
    expect(said(path({ last: 'left' }), fragments)).toMatchObject({
      reason: 'fragments-lost',
      culprit: { where: 'path', node: 'path' },
    });
  });

  test('names a router that refused it, and where a rule sends it', () => {
    const error = { errno: 'EHOSTUNREACH', type: 3, code: 13, offender: '10.9.9.9' };
    expect(said(path({ last: 'left', sender: { errors: [error] } }))).toMatchObject({
      reason: 'rejected-by-firewall',
      evidence: { rejectedBy: '10.9.9.9' },
    });
    const elsewhere = taking('prerouting', { verdict: 'redirected', rewrittenTo: 'port 9999' });
    expect(
      said(
        path({
          last: 'past-ingress',
          receiver: { rules: { probe: elsewhere, answer: verdict() } },
        }),
      ),
    ).toMatchObject({ reason: 'rewritten', evidence: { rewrittenTo: 'port 9999' } });
  });
});
