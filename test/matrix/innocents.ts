/** @module Rules that touch none of the matrix's packets, as they stand around the guilty one on real hosts. */
import type { Random } from './random.ts';

/** What the rules must not touch. */
export interface Spared {
  readonly ports: readonly number[];
}

export type Stage = 'input' | 'output' | 'prerouting' | 'postrouting' | 'ingress' | 'egress';

/** Documentation addresses (RFC 5737), which nobody here has. */
function stranger(random: Random): string {
  return `${random.pick(['192.0.2', '198.51.100', '203.0.113'])}.${random.integer(1, 254)}`;
}

function portOf(random: Random, { ports }: Spared): number {
  for (;;) {
    const port = random.integer(1, 65_535);
    if (!ports.includes(port)) return port;
  }
}

/** Whether packets of this stage have an interface that they came in by, rather than one that they leave by. */
function comesIn(stage: Stage): boolean {
  return stage === 'input' || stage === 'prerouting' || stage === 'ingress';
}

/** Lines of nft. */
export function nftInnocents(
  random: Random,
  count: number,
  stage: Stage,
  spared: Spared,
): readonly string[] {
  const verdict = (): string =>
    random.pick(['accept', 'drop', 'counter drop', 'counter', 'return']);
  const kinds: readonly (() => string)[] = [
    () => `tcp dport ${portOf(random, spared)} ${verdict()}`,
    () => `udp dport ${portOf(random, spared)} ${verdict()}`,
    () => `ip saddr ${stranger(random)} ${verdict()}`,
    () => `ip daddr ${stranger(random)} ${verdict()}`,
    () => `ip6 saddr 2001:db8::${random.integer(1, 9999)} ${verdict()}`,
    () => `ip saddr { ${stranger(random)}, ${stranger(random)} } tcp dport 443 ${verdict()}`,
    () => `meta l4proto ${random.pick([132, 47, 112])} ${verdict()}`,
    () => `tcp dport { ${portOf(random, spared)}, ${portOf(random, spared)} } ${verdict()}`,
    () =>
      comesIn(stage)
        ? `iifname "wan${random.integer(0, 9)}" ${verdict()}`
        : `oifname "wan${random.integer(0, 9)}" ${verdict()}`,
    () => `ip protocol esp ip daddr ${stranger(random)} ${verdict()}`,
    () => `udp dport ${portOf(random, spared)} ip saddr ${stranger(random)} reject`,
  ];
  const refusing = stage === 'input' || stage === 'output' ? kinds : kinds.slice(0, -1);
  return Array.from({ length: count }, () => random.pick(refusing)());
}

/** Rules of iptables without their chain: `-p tcp --dport 80 -j ACCEPT`. */
export function iptablesInnocents(
  random: Random,
  count: number,
  family: 'ipv4' | 'ipv6',
  stage: Stage,
  spared: Spared,
): readonly string[] {
  const verdict = (): string => random.pick(['ACCEPT', 'DROP', 'RETURN']);
  const address = (): string =>
    family === 'ipv4' ? stranger(random) : `2001:db8::${random.integer(1, 9999)}`;
  const kinds: readonly (() => string)[] = [
    () => `-p tcp --dport ${portOf(random, spared)} -j ${verdict()}`,
    () => `-p udp --dport ${portOf(random, spared)} -j ${verdict()}`,
    () => `-s ${address()} -j ${verdict()}`,
    () => `-d ${address()} -p tcp -m multiport --dports 80,443 -j ${verdict()}`,
    () => `${comesIn(stage) ? '-i' : '-o'} wan${random.integer(0, 9)} -j ${verdict()}`,
    () =>
      `-p tcp --dport ${portOf(random, spared)} -m comment --comment "note ${random.integer(1, 99)}" -j ${verdict()}`,
    () => `-p 132 -j ${verdict()}`,
  ];
  return Array.from({ length: count }, () => random.pick(kinds)());
}
