import type { Chain, Rule, Ruleset } from 'node-nftables';
import { describe, expect, test } from 'vitest';
import { createWipeAlarm, type WipeAlarm } from '../../../agent/wipe-alarm.ts';
import { openCatalogue } from '../../../rules/catalogue.ts';
import type { RuleOwners } from '../../../rules/rule-owners.ts';
import { inputBase, someChain, someRule } from '../../support/firewall.ts';

/** INPUT leads to KUBE-FIREWALL, which holds so many rules. */
function picture(rules: number): Ruleset {
  const place = { family: 'ip', table: 'filter' } as const;
  const { base: _, ...plain } = someChain({ ...place, name: 'KUBE-FIREWALL' });
  const chains: Chain[] = [someChain({ ...place, name: 'INPUT', base: inputBase }), plain];
  const jump = { kind: 'verdict', verdict: { code: 'jump', chain: 'KUBE-FIREWALL' } } as const;
  const kept: Rule[] = Array.from({ length: rules }, () =>
    someRule({ ...place, chain: 'KUBE-FIREWALL', expressions: [] }),
  );
  if (rules > 0) kept.push(someRule({ ...place, chain: 'INPUT', expressions: [jump] }));
  return { tables: [], chains, rules: kept, sets: [], objects: [], flowtables: [], ipsets: [] };
}

const none = { wiped: [], over: [] };
const { ruleOwners } = await openCatalogue();
const noticedAt = '2026-11-24T04:00:00.000Z';

function makeAlarm(owners: () => RuleOwners = () => ruleOwners, laterMs = () => 0): WipeAlarm {
  return createWipeAlarm({ owners, now: () => Date.parse(noticedAt) + laterMs() });
}

test('what vanishes is told once, with who did it, and once more when it is there again', () => {
  const alarm = makeAlarm();
  expect(alarm.look(picture(0))).toEqual(none);
  expect(alarm.look(picture(3))).toEqual(none);

  alarm.changed({ pid: 42, name: 'nft' });
  const { wiped, over } = alarm.look(picture(0));
  expect(over).toEqual([]);
  expect(wiped).toMatchObject([
    { owner: 'kube-proxy', what: 'rules', lost: 3, process: { pid: 42, name: 'nft' }, noticedAt },
  ]);
  expect(alarm.open()).toEqual(wiped);
  expect(alarm.look(picture(0))).toEqual(none);

  expect(alarm.look(picture(2))).toEqual({ wiped: [], over: wiped });
  expect(alarm.look(picture(2))).toEqual(none);
  expect(alarm.open()).toEqual([]);
});

describe('what its owner may have taken away itself', () => {
  const others = someRule({ family: 'ip', table: 'filter', chain: 'INPUT', expressions: [] });
  const beside = (view: Ruleset): Ruleset => ({ ...view, rules: [...view.rules, others] });

  test('counts when it is not back after a minute', () => {
    let laterMs = 0;
    const alarm = makeAlarm(undefined, () => laterMs);
    alarm.look(beside(picture(3)));
    alarm.changed({ pid: 42, name: 'iptables' });
    expect(alarm.look(beside(picture(0))).wiped).toMatchObject([{ mayBeOwn: true }]);
    laterMs = 59_000;
    expect(alarm.open()).toEqual([]);
    laterMs = 60_000;
    expect(alarm.open()).toMatchObject([{ owner: 'kube-proxy', noticedAt }]);
    alarm.look(beside(picture(3)));
    expect(alarm.open()).toEqual([]);
  });

  test('never counts when it is back before', () => {
    let laterMs = 0;
    const alarm = makeAlarm(undefined, () => laterMs);
    alarm.look(beside(picture(3)));
    alarm.look(beside(picture(0)));
    laterMs = 20_000;
    alarm.look(beside(picture(3)));
    laterMs = 3_600_000;
    expect(alarm.open()).toEqual([]);
  });
});

test('before the first picture nothing is known', () => {
  const alarm = makeAlarm();
  expect(alarm.open()).toBeUndefined();
  alarm.look(picture(0));
  expect(alarm.open()).toEqual([]);
});

test('rules that are known by other names from now on have not gone', () => {
  let owners = ruleOwners;
  const alarm = makeAlarm(() => owners);
  alarm.look(picture(3));
  const [name, owner] = [...ruleOwners.owners].find(([one]) => one === 'kube-proxy') ?? [];
  if (name === undefined || owner === undefined) throw new Error('no kube-proxy');
  owners = { ...ruleOwners, owners: new Map([[name, { ...owner, chains: ['KP-'] }]]) };
  expect(alarm.look(picture(3))).toEqual(none);
  owners = ruleOwners;
  expect(alarm.look(picture(3))).toEqual(none);
  expect(alarm.look(picture(0)).wiped).toMatchObject([{ owner: 'kube-proxy' }]);
});

test('fewer rules are no wipe, and neither is the same picture', () => {
  const alarm = makeAlarm();
  const many = picture(5);
  alarm.look(many);
  expect(alarm.look(many)).toEqual(none);
  expect(alarm.look(picture(1))).toEqual(none);
});

test('who takes away their own rules is not accused; among several, nobody is named', () => {
  const alarm = makeAlarm();
  alarm.look(picture(1));
  alarm.changed({ pid: 7, name: 'kube-proxy' });
  expect(alarm.look(picture(0))).toEqual(none);

  alarm.look(picture(1));
  alarm.changed({ pid: 8, name: 'nft' });
  alarm.changed({ pid: 9, name: 'firewalld' });
  const [wipe] = alarm.look(picture(0)).wiped;
  expect(wipe).toMatchObject({ owner: 'kube-proxy' });
  expect(wipe).not.toHaveProperty('process');
});
