/** @module Judges who owns a port that the provider needs. */
import type { ParamsByKind } from '../rules/schema.ts';
import { type Answer, type AnswerCulprit, type Check, type Evidence, fail, pass } from './check.ts';
import type { PortOwner } from './host/host.ts';

const thisNode: AnswerCulprit = { where: 'node', node: 'this' };

/** Judges who owns a port that the provider needs: nobody, the provider, the kernel for it, or a stranger. */
export const portOwner: Check<'port-owner'> = {
  kind: 'port-owner',
  summary: 'a port of the provider is free, or owned by who should own it',
  scope: 'node',
  needs: [],

  async run(params, _target, { host }) {
    return judgeOwners(params, await host.portOwners(params.transport, params.port));
  },
};

/**
 * Judges the owners of a port. An owner whose process may not be seen is evidence: it counts as the provider's
 * where the catalogue expects somebody, since most nodes show their processes to root of the host only. Where
 * nobody but the kernel may own the port, a process is a stranger whatever its name; an owner of which not even
 * that can be told is taken for the kernel.
 */
export function judgeOwners(
  params: ParamsByKind['port-owner'],
  owners: readonly PortOwner[],
): Answer {
  const port = { transport: params.transport, port: params.port };
  if (owners.length === 0) return pass({ ...port, owner: 'nobody' });
  const stranger = owners.find((owner) => !mayOwn(params, owner));
  if (stranger !== undefined) return fail('port-taken', { ...port, ...about(stranger) }, thisNode);
  const [first] = owners;
  const exposed = owners.find(({ address }) => !isLoopback(address));
  if (params.loopbackOnly === true && exposed !== undefined) {
    return fail('listens-beyond-loopback', { ...port, ...about(exposed) }, thisNode);
  }
  return pass(first === undefined ? port : { ...port, ...about(first) });
}

function mayOwn({ kernel, processes }: ParamsByKind['port-owner'], owner: PortOwner): boolean {
  if (owner.kernel === true) return kernel;
  const { process } = owner;
  // The kernel keeps 15 bytes of a name (TASK_COMM_LEN).
  if (process !== undefined) return processes.some((name) => name.slice(0, 15) === process);
  return owner.kernel === undefined ? kernel || processes.length > 0 : processes.length > 0;
}

function about(owner: PortOwner): Evidence {
  return {
    owner: owner.kernel === true ? 'kernel' : (owner.process ?? 'unnamed'),
    address: owner.address,
    uid: owner.uid,
    inode: owner.inode,
    ...(owner.pid === undefined ? {} : { pid: owner.pid }),
  };
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1' || address.startsWith('::ffff:127.');
}
