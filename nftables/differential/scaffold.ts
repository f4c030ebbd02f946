/**
 * @module The chains that stand round every generated ruleset: the first ones set the trace bit, the last ones show that a packet
 * came to the end of its way. They are part of the ruleset that is read back and evaluated.
 */
import { interfaces } from './arena.ts';

export const startTable = 'zz_start';
export const endTable = 'zz_end';

const first = -2147483648;
const last = 2147483647;

/** Only packets of a program's socket: what the kernel answers by itself is no packet of ours. */
export function scaffold(): string {
  const chains = (hook: 'ingress' | 'egress', priority: number, rules: string): string =>
    interfaces
      .map(
        (name) => `  chain ${hook}_${name} {
    type filter hook ${hook} device "${name}" priority ${priority}; policy accept;
${rules}  }
`,
      )
      .join('');
  return `table netdev ${startTable} {
${chains('ingress', first, '    meta nftrace set 1\n')}}
table inet ${startTable} {
  chain output {
    type filter hook output priority ${first}; policy accept;
    meta skuid 0 meta nftrace set 1
  }
}
table inet ${endTable} {
  chain input {
    type filter hook input priority ${last}; policy accept;
  }
}
table netdev ${endTable} {
${chains('egress', last, '')}}
`;
}
