/** @module Round trip time between nodes: encapsulated models suffer from a long way (seed claim S26). */
import { type Check, fail, pass, unknown } from './check.ts';

const samples = 5;

/** Compares the median round trip of a few echo requests with a bound. */
export const latency: Check<'latency'> = {
  kind: 'latency',
  summary: 'the round trip to the peer is short enough',
  scope: 'peer',
  needs: [],

  async run({ maximumMilliseconds }, target, context) {
    if (target.scope !== 'peer') throw new Error('latency is for peers');
    const path = { family: target.family, destination: target.address };
    const rtts: number[] = [];
    for (let sample = 0; sample < samples; sample++) {
      const { rttSeconds } = await context.host.network.echo(
        path,
        {},
        context.timeoutMs,
        context.signal,
      );
      if (rttSeconds !== undefined) rtts.push(rttSeconds);
      // A silent peer is silent five times; its own requirement says so.
      else if (rtts.length === 0) return unknown('no-reply', { sent: sample + 1 });
    }
    rtts.sort((one, other) => one - other);
    const median = rtts[Math.floor(rtts.length / 2)];
    if (median === undefined) return unknown('no-reply', { sent: samples });
    const evidence = {
      sent: samples,
      rttSeconds: median,
      smallestRttSeconds: Math.min(...rtts),
      maximumSeconds: maximumMilliseconds / 1000,
    };
    return median * 1000 <= maximumMilliseconds
      ? pass(evidence)
      : fail('latency-too-high', evidence);
  },
};
