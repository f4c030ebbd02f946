/** @module Which firewall managers are at work on this host, told by their files and services. Asks no program. */
import { type ManagerFacts, type Presence, unknownManagers } from '../remedy/managers.ts';
import type { Files } from './files.ts';

/** Looks; what may not be read, or is not there to be read (in a container), is unknown. */
export async function readManagers(
  files: Pick<Files, 'readText' | 'exists'>,
): Promise<ManagerFacts> {
  const [ufw, firewalld, iptables] = await Promise.all([
    orUnknown(ufwState(files)),
    orUnknown(firewalldState(files)),
    iptablesNames(files).catch(() => unknownManagers.iptables),
  ]);
  return { ufw, firewalld, iptables };
}

async function orUnknown(state: Promise<Presence>): Promise<Presence> {
  return await state.catch((): Presence => 'unknown');
}

async function ufwState({ readText }: Pick<Files, 'readText'>): Promise<Presence> {
  const text = await readText('/etc/ufw/ufw.conf');
  const value = /^\s*ENABLED\s*=\s*"?(yes|no)"?\s*$/im.exec(text ?? '')?.[1]?.toLowerCase();
  return value === 'yes' || value === 'no' ? value : 'unknown';
}

/** Where systemd keeps its services' control groups: cgroup v2, and v1. */
const slices = ['/sys/fs/cgroup/system.slice', '/sys/fs/cgroup/systemd/system.slice'] as const;

async function firewalldState({
  readText,
  exists,
}: Pick<Files, 'readText' | 'exists'>): Promise<Presence> {
  const pid = (await readText('/run/firewalld.pid'))?.trim() ?? '';
  if (/^[0-9]{1,10}$/.test(pid)) {
    const comm = await readText(`/proc/${pid}/comm`);
    if (comm?.startsWith('firewalld') === true) return 'yes';
  }
  for (const slice of slices) {
    if (!(await exists(slice))) continue;
    return (await exists(`${slice}/firewalld.service`)) ? 'yes' : 'no';
  }
  return 'unknown';
}

/** Before version 1.8 there was one iptables, the legacy one, and it had no other name. */
async function iptablesNames({ exists }: Pick<Files, 'exists'>): Promise<ManagerFacts['iptables']> {
  const has = async (name: string): Promise<boolean> => {
    const found = await Promise.all(
      ['/usr/sbin', '/sbin'].map((folder) => exists(`${folder}/${name}`)),
    );
    return found.includes(true);
  };
  if (!(await has('iptables'))) return unknownManagers.iptables;
  const [legacy, nft] = await Promise.all([has('iptables-legacy'), has('iptables-nft')]);
  return {
    legacy: legacy ? 'iptables-legacy' : 'iptables',
    nft: nft ? 'iptables-nft' : 'iptables',
  };
}
