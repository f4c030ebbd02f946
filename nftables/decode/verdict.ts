/** @module The verdict of an immediate expression and of a verdict map's element. Pure. */
import type { Verdict } from '../model.ts';
import type { AttributeReader } from './attributes.ts';

/**
 * struct nft_data, nested: 2 verdict { 1 code, 2 chain }. enum nft_verdicts is negative; what is not is a verdict of netfilter
 * (linux/netfilter.h): its low byte, and for NF_QUEUE a number in the upper half and the flag NF_VERDICT_FLAG_QUEUE_BYPASS (0x8000).
 */
export function decodeVerdict(data: AttributeReader): Verdict | undefined {
  const verdict = data.nested(2);
  const raw = verdict.u32(1) | 0;
  const chain = verdict.maybeText(2);
  if (!data.isUnderstood) return undefined;
  if (raw === -3 || raw === -4) {
    return chain === undefined ? undefined : { code: raw === -3 ? 'jump' : 'goto', chain };
  }
  if (chain !== undefined) return undefined;
  if (raw < 0) {
    const code = ([undefined, 'continue', 'break', undefined, undefined, 'return'] as const)[-raw];
    return code === undefined ? undefined : { code };
  }
  switch (raw & 0xff) {
    case 0:
      // The upper half may hold an errno for the sender; a drop it is in any case.
      return { code: 'drop' };
    case 1:
      return { code: 'accept' };
    case 2:
      return { code: 'stolen' };
    case 3:
      return { code: 'queue', number: raw >>> 16, bypass: (raw & 0x8000) !== 0 };
    default:
      return undefined;
  }
}
