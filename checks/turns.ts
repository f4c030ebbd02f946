/**
 * @module Which node of a pair may send packets of a protocol without ports, and when. conntrack keeps such a flow for
 * 600 s, and meanwhile the other direction looks ESTABLISHED; so turns last twice that, and the second half stays silent.
 */

const turnMs = 20 * 60_000;
/** nf_conntrack_generic_timeout. */
const memoryMs = 10 * 60_000;

/** Whether it is this node's turn to probe that peer. Of every pair exactly one has it, and both know which. */
export function isOwnTurn(ownAddress: string, peerAddress: string, nowMs: number): boolean {
  if (nowMs % turnMs >= memoryMs) return false;
  const [first, second] = [ownAddress, peerAddress].sort();
  const letters = `${first} ${second}`;
  let parity = 0;
  for (let at = 0; at < letters.length; at++) parity += letters.charCodeAt(at);
  const turn = (Math.floor(nowMs / turnMs) + parity) % 2;
  return (turn === 0 ? first : second) === ownAddress;
}
