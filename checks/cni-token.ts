/** @module Whether the token with which CNI plugins ask the API server is in force. Only its dates are looked at, and nothing of it is told. */
import { type Answer, type Check, fail, pass, skip } from './check.ts';
import { readActive } from './cni-configuration.ts';

/** Calico's plugin reads this file though its configuration may name another one. */
const usualFile = '/etc/cni/net.d/calico-kubeconfig';
/** What API servers forgive between their clock and another one (go-jose's DefaultLeeway). */
const leewaySeconds = 60;

/** Whether the token with which CNI plugins ask the API server is in force. */
export const cniToken: Check<'cni-token'> = {
  kind: 'cni-token',
  summary: 'the token of the CNI plugins is in force',
  scope: 'node',
  needs: [],

  async run(_params, _target, context) {
    const active = await readActive(context);
    const files = new Set([...(active?.kubeconfigs ?? []), usualFile]);
    let judged: Answer | undefined;
    for (const file of files) {
      const text = await context.host.readText(file);
      const dates = text === undefined ? undefined : datesOf(text);
      if (dates === undefined) continue;
      judged = judgeDates(file, dates, Date.now() / 1000);
      if (judged.outcome === 'fail') return judged;
    }
    return judged ?? skip('not-applicable');
  },
};

/** Seconds since 1970, as the token says (RFC 7519, section 4.1). */
export interface TokenDates {
  readonly expires?: number;
  readonly notBefore?: number;
}

/** Takes the dates out of the token of a kubeconfig; undefined where there is no token, or none with readable claims. */
export function datesOf(kubeconfig: string): TokenDates | undefined {
  // Three parts in base64url, the second of which holds the claims.
  const claims = /^\s*token:\s*["']?[\w-]+\.([\w-]+)\.[\w-]*["']?\s*$/m.exec(kubeconfig)?.[1];
  if (claims === undefined) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const date = (name: string): number | undefined => {
    const value: unknown = Object.getOwnPropertyDescriptor(parsed, name)?.value;
    return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
  };
  const [expires, notBefore] = [date('exp'), date('nbf') ?? date('iat')];
  return {
    ...(expires === undefined ? {} : { expires }),
    ...(notBefore === undefined ? {} : { notBefore }),
  };
}

/** A token without a date of its end (those of secrets) is in force for ever. */
export function judgeDates(file: string, dates: TokenDates, now: number): Answer {
  const { expires = Number.POSITIVE_INFINITY, notBefore = 0 } = dates;
  const culprit = { where: 'node', node: 'this' } as const;
  if (expires + leewaySeconds < now)
    return fail('cni-token-expired', { file, sinceSeconds: Math.round(now - expires) }, culprit);
  if (notBefore - leewaySeconds > now)
    return fail('cni-token-not-yet', { file, inSeconds: Math.round(notBefore - now) }, culprit);
  return pass(
    Number.isFinite(expires) ? { file, remainingSeconds: Math.round(expires - now) } : { file },
  );
}
