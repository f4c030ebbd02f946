/** Packets between pods that a node's own firewall does not forward: named from the rules alone, and cured by what is told to type. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Finding, StatusDocument } from '../../agent/model.ts';
import { said, theFinding } from '../support/document.ts';
import { builtProgram, createLab, type Lab, type LabNode } from '../support/lab.ts';
import { createOverlay, type Overlay, tunnelDevice } from '../support/overlay.ts';
import { LongProcess } from '../support/process.ts';
import { until } from '../support/wait.ts';

let lab: Lab;
let overlay: Overlay;
let n2: LabNode;
let folder: string;
beforeAll(async () => {
  lab = await createLab({ nodes: 2, ipv6: false });
  overlay = await createOverlay(lab);
  n2 = lab.node('n2');
  folder = mkdtempSync(join(tmpdir(), 'forward-'));
});
afterAll(async () => {
  await overlay[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const requirements = ['forward-in', 'forward-out', 'pod-source'] as const;
type Told = Readonly<Record<(typeof requirements)[number], Finding>>;

async function shell(line: string): Promise<void> {
  await n2.exec('sh', ['-ec', line]);
}

/** What n2 says of its own rules; `binds` are lines that mount files over the machine's own, for this alone. */
async function told(binds = ''): Promise<Told> {
  const only = requirements.map((name) => `--only flannel.${name}`).join(' ');
  const line = `${binds}\nexec "$0" "$1" check --provider flannel ${only} --node-name n2 --format json`;
  const { stdout } = await n2.exec('sh', ['-ec', line, process.execPath, builtProgram()], {
    expectExit: 'any',
  });
  const document = JSON.parse(stdout) as StatusDocument;
  const one = (name: string): Finding =>
    theFinding(document, { requirement: `flannel.${name}`, peer: 'node' });
  return {
    'forward-in': one('forward-in'),
    'forward-out': one('forward-out'),
    'pod-source': one('pod-source'),
  };
}

/** Whether the pod of n1 connects to that of n2, and the other way round, each beginning anew. */
async function reached(): Promise<readonly [boolean, boolean]> {
  const [one, two] = [overlay.on('n1'), overlay.on('n2')];
  await n2.forgetFlows();
  return await Promise.all([one.connectsToPod(two, 8080), two.connectsToPod(one, 8080)]);
}

function commandsOf({ remedy }: Finding): readonly string[] {
  return (remedy ?? []).flatMap(({ commands }) => commands);
}

/** Types what is told. */
async function apply(found: Told, binds = ''): Promise<readonly string[]> {
  const commands = [...commandsOf(found['forward-in']), ...commandsOf(found['forward-out'])];
  for (const command of commands) await shell(`${binds}\n${command}`);
  return commands;
}

test('where nothing is forbidden all passes', async () => {
  const found = await told();
  expect(requirements.map((name) => said(found[name]))).toEqual(['pass', 'pass', 'pass']);
});

describe('forbidden', () => {
  interface Row {
    readonly name: string;
    readonly rules: string;
    readonly undo: string;
    readonly reason: string;
    readonly firewall: object;
    readonly commands: readonly string[];
  }
  const flushed = 'nft flush ruleset';
  const rows: readonly Row[] = [
    {
      name: "Docker's policy",
      rules: `iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-USER
        iptables-nft -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        iptables-nft -P FORWARD DROP`,
      undo: flushed,
      reason: 'dropped-by-forward',
      firewall: { backend: 'iptables-nft', chain: 'FORWARD', hook: 'forward', policy: 'drop' },
      commands: [
        'iptables-nft -A DOCKER-USER -i flannel.1 -o cni0 -j ACCEPT',
        'iptables-nft -A DOCKER-USER -i cni0 -o flannel.1 -j ACCEPT',
      ],
    },
    {
      name: 'a policy of the old iptables',
      rules: 'iptables-legacy -P FORWARD DROP',
      undo: 'iptables-legacy -P FORWARD ACCEPT; iptables-legacy -F',
      reason: 'dropped-by-forward',
      firewall: { backend: 'iptables-legacy', chain: 'FORWARD', policy: 'drop' },
      commands: [
        'iptables-legacy -A FORWARD -i flannel.1 -o cni0 -j ACCEPT',
        'iptables-legacy -A FORWARD -i cni0 -o flannel.1 -j ACCEPT',
      ],
    },
    {
      name: 'a rule',
      rules: `nft -f - <<'RULES'
        table inet filter {
          chain forward {
            type filter hook forward priority 0
            ct state established,related accept
            iifname "e0" accept
            reject with icmpx admin-prohibited
          }
        }
RULES`,
      undo: flushed,
      reason: 'rejected-by-forward',
      firewall: { backend: 'nf_tables', table: 'filter', chain: 'forward', hook: 'forward' },
      commands: [
        expect.stringMatching(
          /^nft insert rule inet filter forward position \d+ meta nfproto ipv4 iifname flannel\.1 oifname cni0 accept$/,
        ) as string,
        expect.stringMatching(/iifname cni0 oifname flannel\.1 accept$/) as string,
      ],
    },
  ];

  test.each(rows)('by $name', async ({ rules, undo, reason, firewall, commands }) => {
    await shell(rules);
    try {
      expect(await reached()).toEqual([false, false]);
      const found = await told();
      for (const name of ['forward-in', 'forward-out'] as const) {
        expect(said(found[name])).toBe(`fail ${reason}`);
        expect(found[name].culprit).toMatchObject({
          where: 'receiver-forward',
          node: 'n2',
          firewall,
        });
      }
      expect(await apply(found)).toEqual(commands);
      expect(await reached()).toEqual([true, true]);
    } finally {
      await shell(undo);
    }
  });

  test('in one direction alone', async () => {
    await n2.nft(
      `table ip t { chain c { type filter hook forward priority 0; iifname "cni0" oifname "${tunnelDevice}" ct state new drop; }\n }`,
    );
    expect(await reached()).toEqual([true, false]);
    const found = await told();
    expect(said(found['forward-in'])).toBe('pass');
    expect(said(found['forward-out'])).toBe('fail dropped-by-forward');
    await apply(found);
    expect(await reached()).toEqual([true, true]);
    await n2.flush();
  });
});

test('what lets pods pass beside a policy that drops the rest is no fault, as flannel does it', async () => {
  await shell(`iptables-nft -N FLANNEL-FWD; iptables-nft -A FORWARD -j FLANNEL-FWD
    iptables-nft -A FLANNEL-FWD -s 10.244.0.0/16 -j ACCEPT; iptables-nft -A FLANNEL-FWD -d 10.244.0.0/16 -j ACCEPT
    iptables-nft -P FORWARD DROP
    iptables-nft -t nat -N FLANNEL-POSTRTG; iptables-nft -t nat -A POSTROUTING -j FLANNEL-POSTRTG
    iptables-nft -t nat -A FLANNEL-POSTRTG -s 10.244.2.0/24 -d 10.244.0.0/16 -j RETURN
    iptables-nft -t nat -A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully`);
  const found = await told();
  expect(requirements.map((name) => said(found[name]))).toEqual(['pass', 'pass', 'pass']);
  await n2.flush();
});

test('masquerading that is too wide is told, though everything is reached', async () => {
  await shell('iptables-nft -t nat -A POSTROUTING -s 10.244.2.0/24 -j MASQUERADE');
  expect(await reached()).toEqual([true, true]);
  const found = await told();
  expect(said(found['pod-source'])).toBe('fail pod-source-rewritten');
  expect(found['pod-source'].evidence).toMatchObject({ destination: '10.244.1.2' });
  await n2.flush();
});

test('what a network policy drops is meant', async () => {
  await shell(`iptables-nft -N cali-tw-cali1; iptables-nft -A FORWARD -o cni0 -j cali-tw-cali1
    iptables-nft -A cali-tw-cali1 -j DROP`);
  expect(said((await told())['forward-in'])).toBe('skip not-applicable');
  await n2.flush();
});

test('ufw denies what is routed', async () => {
  const own = join(folder, 'ufw');
  cpSync('/etc/ufw', own, { recursive: true });
  cpSync('/etc/default/ufw', join(folder, 'ufw-default'));
  const binds = `mount --bind ${own} /etc/ufw; mount --bind ${join(folder, 'ufw-default')} /etc/default/ufw;`;
  await shell(`${binds} ufw allow 8472/udp; ufw default deny routed; ufw --force enable`);
  try {
    expect(await reached()).toEqual([false, false]);
    const found = await told(binds);
    expect(said(found['forward-in'])).toMatch(/^fail (dropped|rejected)-by-forward$/);
    expect(await apply(found, binds)).toEqual([
      'ufw route allow in on flannel.1 out on cni0',
      'ufw route allow in on cni0 out on flannel.1',
    ]);
    expect(await reached()).toEqual([true, true]);
  } finally {
    await shell(`${binds} ufw --force disable`);
    await n2.flush();
  }
});

test('firewalld forwards between no zones', async () => {
  const services: LongProcess[] = [];
  const inNode = (line: string): LongProcess =>
    new LongProcess('ip', ['netns', 'exec', n2.namespace, 'sh', '-ec', line]);
  const own = join(folder, 'firewalld');
  cpSync('/etc/firewalld', own, { recursive: true });
  mkdirSync('/run/dbus', { recursive: true });
  try {
    services.push(inNode('exec dbus-daemon --system --nofork --nopidfile'));
    await until('the bus runs', () =>
      Promise.resolve(existsSync('/run/dbus/system_bus_socket') ? true : undefined),
    );
    services.push(inNode(`mount --bind ${own} /etc/firewalld; exec firewalld --nofork --nopid`));
    await until('firewalld runs', async () =>
      (await n2.exec('firewall-cmd', ['--state'], { expectExit: 'any' })).exitCode === 0
        ? true
        : undefined,
    );
    await shell('firewall-cmd --add-port=8472/udp');
    expect(await reached()).toEqual([false, false]);
    const found = await told();
    expect(said(found['forward-in'])).toBe('fail rejected-by-forward');
    expect(await apply(found)).toEqual([
      'firewall-cmd --zone=trusted --change-interface=flannel.1',
      'firewall-cmd --permanent --zone=trusted --change-interface=flannel.1',
      'firewall-cmd --zone=trusted --change-interface=cni0',
      'firewall-cmd --permanent --zone=trusted --change-interface=cni0',
    ]);
    expect(await reached()).toEqual([true, true]);
  } finally {
    for (const service of services.reverse()) await service.stop();
    await n2.flush();
  }
}, 60_000);
