/** @module One rule, read again: what its counter says now. */
import { familyNumber } from './decode/messages.ts';
import { decodeRule } from './decode/rules.ts';
import { KernelError } from './errors.ts';
import type { Rule } from './model.ts';
import { encodeText, encodeU64, NetfilterSocket } from './netlink.ts';
import { hasNftables, isAbsence, NFT_MSG_GETRULE, type ReadOptions } from './read.ts';

/**
 * Reads one rule of nf_tables, of nft or iptables-nft; undefined when it is gone. It stands alone: its `index` is 1 whatever its place.
 * Rejects with KernelError.
 */
export async function readRule(
  { family, table, chain, handle }: Pick<Rule, 'family' | 'table' | 'chain' | 'handle'>,
  options: ReadOptions = {},
): Promise<Rule | undefined> {
  if (!(await hasNftables(options))) return undefined;
  try {
    using socket = new NetfilterSocket();
    // 1 table, 2 chain, 3 handle.
    const attributes = [encodeText(1, table), encodeText(2, chain), encodeU64(3, BigInt(handle))];
    const message = socket.ask({ type: NFT_MSG_GETRULE, family: familyNumber(family), attributes });
    return message === undefined ? undefined : decodeRule(message.payload.slice());
  } catch (cause) {
    if (isAbsence(cause)) return undefined;
    if (cause instanceof KernelError && cause.code === 'ENOENT') return undefined;
    throw cause;
  }
}
