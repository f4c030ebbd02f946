/** @module The programs that own a host's rules, as Debian ships them, on one node of a lab. */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { LabNode } from '../support/lab.ts';
import { LongProcess } from '../support/process.ts';
import { until } from '../support/wait.ts';

/** A firewall that stands on a node. */
export interface Managed extends AsyncDisposable {
  readonly manager: ManagerName;
  /** Lines that mount its own files over the machine's, for one process. */
  readonly binds: string;
  /** Everything is closed but the ports that agents talk by. */
  close(): Promise<void>;
  /** Everything that comes from other nodes passes. */
  open(): Promise<void>;
  /** Refuses one UDP port, whoever asks, while the rest is open. */
  refuse(port: number): Promise<void>;
  /** What this node sends is dropped, but for what agents talk by. */
  closeOutgoing(): Promise<void>;
}

export const managerNames = ['ufw', 'firewalld', 'nftables.conf'] as const;
export type ManagerName = (typeof managerNames)[number];

const agentPort = 10_472;

/** Runs a line in a node with files mounted over the machine's own. */
async function shell(node: LabNode, line: string, binds: string): Promise<void> {
  await node.exec('sh', ['-ec', `${binds}\n${line}`], { timeoutMs: 60_000 });
}

/** Makes a folder as the machine's own is. It stays the same folder, for processes have it mounted. */
function renew(own: string, like: string): void {
  mkdirSync(own, { recursive: true });
  for (const name of readdirSync(own)) rmSync(join(own, name), { recursive: true });
  cpSync(like, own, { recursive: true });
}

/** Puts a manager in charge of a node; `folder` is for its files. */
export async function manage(
  node: LabNode,
  manager: ManagerName,
  folder: string,
): Promise<Managed> {
  if (manager === 'ufw') return manageByUfw(node, folder);
  if (manager === 'firewalld') return await manageByFirewalld(node, folder);
  return manageByHand(node);
}

function manageByUfw(node: LabNode, folder: string): Managed {
  const own = join(folder, 'ufw');
  const defaults = join(folder, 'ufw-default');
  const binds = `mount --bind ${own} /etc/ufw; mount --bind ${defaults} /etc/default/ufw;`;
  const start = async (...lines: readonly string[]): Promise<void> => {
    if (existsSync(own)) await shell(node, 'ufw --force disable', binds);
    renew(own, '/etc/ufw');
    cpSync('/etc/default/ufw', defaults);
    await node.flush();
    const all = [
      ...lines,
      `ufw allow ${agentPort}/tcp`,
      `ufw allow ${agentPort}/udp`,
      'ufw --force enable',
    ];
    await shell(node, all.join('\n'), binds);
    await node.forgetFlows();
  };
  return {
    manager: 'ufw',
    binds,
    close: async () => {
      await start('ufw default deny incoming', 'ufw allow 22/tcp');
    },
    open: async () => {
      await start('ufw default allow incoming');
    },
    refuse: async (port) => {
      await start('ufw default allow incoming', `ufw deny ${port}/udp`);
    },
    closeOutgoing: async () => {
      await start(
        'ufw default allow incoming',
        'ufw default deny outgoing',
        `ufw allow out ${agentPort}/tcp`,
        `ufw allow out ${agentPort}/udp`,
      );
    },
    [Symbol.asyncDispose]: async () => {
      await shell(node, 'ufw --force disable', binds);
      await node.flush();
    },
  };
}

async function manageByFirewalld(node: LabNode, folder: string): Promise<Managed> {
  const own = join(folder, 'firewalld');
  renew(own, '/etc/firewalld');
  mkdirSync('/run/dbus', { recursive: true });
  const inNode = (line: string): LongProcess =>
    new LongProcess('ip', ['netns', 'exec', node.namespace, 'sh', '-ec', line]);
  const bus = inNode('exec dbus-daemon --system --nofork --nopidfile');
  await until('the bus runs', () =>
    Promise.resolve(existsSync('/run/dbus/system_bus_socket') ? true : undefined),
  );
  const service = inNode(`mount --bind ${own} /etc/firewalld; exec firewalld --nofork --nopid`);
  await until('firewalld runs', async () => {
    const { exitCode } = await node.exec('firewall-cmd', ['--state'], { expectExit: 'any' });
    return exitCode === 0 ? true : undefined;
  });
  const start = async (target: string, rule = '', policy = ''): Promise<void> => {
    renew(own, '/etc/firewalld');
    const agents = ['tcp', 'udp']
      .map((transport) => `<port port="${agentPort}" protocol="${transport}"/>`)
      .join('');
    const files = {
      'zones/public.xml': `<zone${target}><short>Public</short><service name="ssh"/>${agents}${rule}</zone>`,
      ...(policy === ''
        ? {}
        : { 'policies/out.xml': `<policy target="DROP">${policy}${agents}</policy>` }),
    };
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(own, name)), { recursive: true });
      writeFileSync(join(own, name), `<?xml version="1.0" encoding="utf-8"?>\n${text}\n`);
    }
    await node.exec('firewall-cmd', ['--reload'], { timeoutMs: 60_000 });
    await node.forgetFlows();
  };
  const accept = ' target="ACCEPT"';
  return {
    manager: 'firewalld',
    binds: `mount --bind ${own} /etc/firewalld;`,
    close: async () => {
      await start('');
    },
    open: async () => {
      await start(accept);
    },
    refuse: async (port) => {
      await start(accept, `<rule><port port="${port}" protocol="udp"/><drop/></rule>`);
    },
    closeOutgoing: async () => {
      await start(accept, '', '<ingress-zone name="HOST"/><egress-zone name="ANY"/>');
    },
    [Symbol.asyncDispose]: async () => {
      await service.stop();
      await bus.stop();
      await node.flush();
    },
  };
}

function manageByHand(node: LabNode): Managed {
  const load = async (input: string, output: string): Promise<void> => {
    await node.flush();
    // As a person writes /etc/nftables.conf.
    await node.nft(`table inet filter {
  chain input {
    type filter hook input priority filter; ${input}
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
  }
  chain output {
    type filter hook output priority filter; ${output}
  }
}`);
  };
  const known = `ct state { established, related } accept
    ct state invalid drop
    iif "lo" accept
    meta l4proto { icmp, ipv6-icmp } accept
    tcp dport { 22, ${agentPort} } accept
    udp dport ${agentPort} accept`;
  const pass = 'policy accept;';
  return {
    manager: 'nftables.conf',
    binds: '',
    close: async () => {
      await load(`policy drop;\n    ${known}\n    counter`, pass);
    },
    open: async () => {
      await load(`${pass}\n    tcp dport 23 drop`, pass);
    },
    refuse: async (port) => {
      await load(`${pass}\n    udp dport ${port} counter drop`, pass);
    },
    closeOutgoing: async () => {
      await load(
        pass,
        `policy drop;\n    ${known.replace('ct state invalid drop\n', '').replace('iif', 'oif')}`,
      );
    },
    [Symbol.asyncDispose]: async () => {
      await node.flush();
    },
  };
}
