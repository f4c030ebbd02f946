/** @module The words for what other programs on a node do to a CNI. Pure. */
import type { Reason } from '../checks/check.ts';
import type { Facts, Words } from './message-facts.ts';

export const softwareWords = {
  'policy-rule-missing': {
    message: ({ get }) =>
      `no policy rule asks the routing table ${get('table')} (${get('family')}); the rules are ${get('rules')}`,
    next: ({ get }) =>
      `${ipOf(get)} rule add pref ${get('table') === 'local' ? '0' : '32766'} lookup ${get('table')}`,
  },
  'policy-route-captures': {
    message: ({ get, has }) => {
      const packets = `packets to ${get('destination')}${has('from') ? ` from ${get('from')}` : ''}`;
      const rule = has('rule') ? `the policy rule "${get('rule')}"` : 'a policy rule';
      const where = has('wanted')
        ? `${get('found')} instead of ${get('wanted')}`
        : `${get('found')} (table ${get('table')})`;
      return has('wanted')
        ? `${rule} sends ${packets} to ${where}`
        : `${rule} will send ${packets} to ${where}`;
    },
    next: ({ get, has }) =>
      has('wanted')
        ? `ip rule; ip route get ${get('destination').split('/')[0] ?? '?'}${has('from') ? ` from ${get('from')}` : ''}`
        : `ip rule; ip route show table ${get('table')}`,
  },
} as const satisfies Partial<Readonly<Record<Reason, Words>>>;

function ipOf(get: Facts['get']): string {
  return get('family') === 'ipv6' ? 'ip -6' : 'ip';
}
