/** @module ufw and firewalld, as Debian ships them, started for real in the namespace of the host under test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { pause } from '../../../checks/time.ts';
import { coverDirectory } from './own-directory.ts';

export type Run = (file: string, options: readonly string[], input?: string) => string;

/** A firewall that stands; `stop` ends its programs, its rules stay. */
export interface Standing {
  readonly stop: () => Promise<void>;
}

/** Nobody aborts it. */
const patience = new AbortController();

const noPrograms: Standing = { stop: async () => undefined };

/** ufw lets an address connect to it six times in half a minute. */
export const limitedPort = 2222;

/** Default deny with a few allowances. */
export async function startUfw(run: Run): Promise<Standing> {
  coverDirectory(run, '/etc/ufw', ['/usr/share/ufw/iptables', '/usr/share/ufw/ufw.conf']);
  const defaults = readFileSync('/etc/default/ufw', 'utf8');
  coverDirectory(run, '/etc/default', []);
  writeFileSync('/etc/default/ufw', defaults);
  mkdirSync('/etc/ufw/applications.d', { recursive: true });
  for (const words of [
    'default deny incoming',
    'default deny routed',
    'allow 22/tcp',
    `limit ${limitedPort}/tcp`,
    'allow from 10.1.0.0/16 to any port 53 proto udp',
    'allow 8000:8010/tcp',
    'deny from 198.18.5.0/24',
    'reject 23/tcp',
    'allow in on eth0 to any port 80 proto tcp',
    'deny out on wan1 to any port 25 proto tcp',
    'route allow in on eth0 out on wan0',
    '--force enable',
  ]) {
    run('ufw', words.split(' '));
  }
  return noPrograms;
}

const zone = (name: string, words: string, target = ''): void => {
  const attribute = target === '' ? '' : ` target="${target}"`;
  writeFileSync(
    `/etc/firewalld/zones/${name}.xml`,
    `<?xml version="1.0" encoding="utf-8"?>\n<zone${attribute}><short>${name}</short>${words}</zone>\n`,
  );
};

const busConfiguration = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_type="method_call"/><allow receive_sender="*"/></policy></busconfig>
`;

/** Zones by interface and by source, a service, a range of ports, rich rules. */
export async function startFirewalld(
  run: Run,
  backend: 'nftables' | 'iptables',
): Promise<Standing> {
  coverDirectory(run, '/etc/firewalld', []);
  const settings = `DefaultZone=public
FirewallBackend=${backend}
`;
  writeFileSync('/etc/firewalld/firewalld.conf', settings);
  mkdirSync('/etc/firewalld/zones', { recursive: true });
  zone(
    'public',
    `<interface name="wan0"/><service name="ssh"/><port port="8000-8010" protocol="tcp"/>
     <rule family="ipv4"><source address="198.18.7.0/24"/><port port="5432" protocol="tcp"/><accept/></rule>
     <rule family="ipv4"><source address="198.18.5.0/24"/><reject/></rule>
     <forward-port port="8080" protocol="tcp" to-port="80" to-addr="10.2.0.8"/><forward/>`,
  );
  zone('trusted', '<interface name="eth1"/>', 'ACCEPT');
  zone('drop', '<interface name="wan1"/>', 'DROP');
  zone(
    'internal',
    '<source address="10.1.0.0/16"/><service name="dns"/><service name="ssh"/><masquerade/>',
  );
  mkdirSync('/run/dbus', { recursive: true });
  mkdirSync('/run/firewalld', { recursive: true });
  writeFileSync('/run/dbus/own.conf', busConfiguration);
  const bus = start('dbus-daemon', ['--config-file=/run/dbus/own.conf', '--nofork', '--nopidfile']);
  const daemon = start('firewalld', ['--nofork', '--nopid']);
  const stop = async (): Promise<void> => {
    for (const program of [daemon, bus]) {
      // Not its usual end, which would take the rules with it.
      const ended = once(program, 'exit');
      if (program.kill('SIGKILL')) await ended;
    }
  };
  for (let tries = 0; tries < 150; tries++) {
    if (daemon.exitCode !== null) break;
    try {
      if (run('firewall-cmd', ['--state']).trim() === 'running') return { stop };
    } catch {
      // Not yet.
    }
    await pause(200, patience.signal);
  }
  await stop();
  throw new Error('firewalld does not come up');
}

function start(file: string, options: readonly string[]): ChildProcess {
  return spawn(file, options, { stdio: 'ignore' });
}
