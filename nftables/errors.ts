/** @module What goes wrong when one asks the kernel. */
import { constants } from 'node:os';

/**
 * What the kernel refused, or could not give. `code` is an errno name: EPERM (see `capability`), ENOBUFS, EMSGSIZE; EAGAIN when the ruleset
 * never stood still, ETIMEDOUT when the kernel did not answer, ENODATA when it cannot be told whether a part of it is there
 * without making it load that part, EPROTO when it says something that this version does not know.
 */
export class KernelError extends Error {
  readonly code: string;
  /** What the process lacks. */
  readonly capability?: 'CAP_NET_ADMIN';

  constructor(code: string, message: string) {
    super(message);
    this.name = 'KernelError';
    this.code = code;
    if (code === 'EPERM') this.capability = 'CAP_NET_ADMIN';
  }
}

export function errorFromErrno(errno: number, what: string): KernelError {
  const names = Object.entries(constants.errno).filter(([, value]) => value === errno);
  // Two names share 11 and 95; these are the ones in manual pages.
  const usual = names.find(([name]) => name === 'EAGAIN' || name === 'EOPNOTSUPP');
  const code = (usual ?? names[0])?.[0] ?? `E${errno}`;
  const hint = code === 'EPERM' ? ' (CAP_NET_ADMIN is needed)' : '';
  return new KernelError(code, `${what}: ${code}${hint}`);
}
