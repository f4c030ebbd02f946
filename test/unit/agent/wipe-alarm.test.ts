import type { Chain, Rule, Ruleset } from 'node-nftables';
import { expect, test } from 'vitest';
import { createWipeAlarm } from '../../../agent/wipe-alarm.ts';
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

const none = { wiped: [], restored: [] };

test('what vanishes is told once, with who did it, and once more when it is there again', () => {
  const alarm = createWipeAlarm();
  expect(alarm.look(picture(0))).toEqual(none);
  expect(alarm.look(picture(3))).toEqual(none);

  alarm.changed({ pid: 42, name: 'nft' });
  const { wiped, restored } = alarm.look(picture(0));
  expect(restored).toEqual([]);
  expect(wiped).toMatchObject([
    { owner: 'kube-proxy', what: 'rules', lost: 3, process: { pid: 42, name: 'nft' } },
  ]);
  expect(alarm.look(picture(0))).toEqual(none);

  expect(alarm.look(picture(2))).toEqual({ wiped: [], restored: wiped });
  expect(alarm.look(picture(2))).toEqual(none);
});

test('fewer rules are no wipe, and neither is the same picture', () => {
  const alarm = createWipeAlarm();
  const many = picture(5);
  alarm.look(many);
  expect(alarm.look(many)).toEqual(none);
  expect(alarm.look(picture(1))).toEqual(none);
});

test('who takes away their own rules is not accused; among several, nobody is named', () => {
  const alarm = createWipeAlarm();
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
