import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readNftables } from 'node-nftables';
import { describe, expect, it } from 'vitest';
import { formatRule, formatRuleset } from '../../../nftables/format/index.ts';
import { comparable, comparableRules, plain } from '../../support/nftables/comparable.ts';

/** Runs nft on a file of its own; what it complains about, if anything. */
function load(text: string): string | undefined {
  const { status, stderr } = spawnSync('nft', ['-f', '-'], { input: text, encoding: 'utf8' });
  return status === 0 ? undefined : stderr;
}

interface Section {
  readonly family: string;
  readonly header: string;
  readonly rules: readonly string[];
}

function sections(): readonly Section[] {
  const text = readFileSync(new URL('../../fixtures/nftables/rules.txt', import.meta.url), 'utf8');
  return text
    .split(/^(?=@(?:inet|ip|ip6|arp|bridge|netdev) )/m)
    .slice(1)
    .map((part) => {
      const [place = '', ...rules] = part.split('\n').filter((line) => line !== '');
      const [family = '', type = '', ...hook] = place.slice(1).split(' ');
      const header = `type ${type} hook ${hook.join(' ')} priority 0;`;
      return { family, header, rules };
    });
}

/** Everything that the rules name. */
function surroundings({ family, header }: Section): string {
  const sets = `
    set addrs { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }
    set nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.0/16 }; }
    set pairs { type ipv4_addr . inet_service; elements = { 10.0.0.1 . 22 }; }
    set ports { type inet_service; elements = { 22, 80 }; }
    set portsi { type inet_service; flags interval; elements = { 22, 80-90 }; }
    set dscps { typeof ip dscp; elements = { cs1 }; }
    map vports { type inet_service : verdict; elements = { 22 : accept, 80 : jump target }; }
    map vaddr { type ipv4_addr : verdict; flags interval; elements = { 10.0.0.0/8 : accept }; }
    map marks { type inet_service : mark; elements = { 22 : 0x1 }; }
    set dyn { type ipv4_addr; flags dynamic,timeout; size 1000; }
    set dync { type ipv4_addr . inet_service; flags dynamic,timeout; size 1000; }
    map dynm { type ipv4_addr : mark; flags dynamic,timeout; size 1000; }
    map qmap { type inet_service : quota; elements = { 22 : "quo" }; }
    counter cnt { packets 1 bytes 2 }
    counter cnt2 { comment "another"; }
    quota quo { over 10 mbytes used 3 bytes }
    limit lim { rate 10/second }`;
  const network = family === 'ip6' ? 'ip6' : 'ip';
  const connections = `
    ct helper ftph { type "ftp" protocol tcp; }
    ct timeout cttime { protocol tcp; l3proto ${network}; policy = { established : 100, close : 4 }; }
    ct expectation ctexp { protocol tcp; dport 9876; timeout 1m; size 12; l3proto ${network}; }
    synproxy synp { mss 1460; wscale 7; timestamp sack-perm; }`;
  const services = `
    map svc { type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = { 10.0.0.1 . 80 : 10.0.0.2 . 8080 }; }`;
  return `table ${family} t {
    ${family === 'arp' ? '' : sets}
    ${['inet', 'ip', 'ip6'].includes(family) ? connections : ''}
    ${family === 'inet' ? services : ''}
    chain target { comment "met by jumps"; }
    chain c { ${header} }
  }\n`;
}

/** Loads those of the rules that this kernel takes. */
function loadRules(section: Section, rules: readonly string[]): readonly string[] {
  const { family } = section;
  load(`flush chain ${family} t c\n`);
  const lines = rules.map((rule) => `add rule ${family} t c ${rule}\n`);
  if (load(lines.join('')) === undefined) return rules;
  return rules.filter((_, index) => load(lines[index] ?? '') === undefined);
}

describe.sequential('format', () => {
  let count = 0;
  let asNft = 0;

  it.each(sections())(
    'writes rules of $family, $header so that they load as the same expressions',
    async (section) => {
      load('flush ruleset\n');
      expect(load(surroundings(section))).toBeUndefined();
      const loaded = loadRules(section, section.rules);
      expect(loaded.length).toBeGreaterThan(0.9 * section.rules.length);
      const first = await readNftables();
      const rules = first.rules.filter(({ chain }) => chain === 'c');
      expect(rules).toHaveLength(loaded.length);
      const texts = rules.map((rule) => formatRule(rule, first));
      const listed = execFileSync('nft', ['list', 'chain', section.family, 't', 'c'], {
        encoding: 'utf8',
      })
        .split('\n')
        .slice(3, -3)
        .map((line) => line.trim());
      count += texts.length;
      asNft += texts.filter((text, index) => text === listed[index]).length;

      expect(loadRules(section, texts)).toEqual(texts);
      const second = await readNftables();
      const again = second.rules.filter(({ chain }) => chain === 'c');
      expect(again).toHaveLength(rules.length);
      const before = comparableRules({ ...first, rules });
      const after = comparableRules({ ...second, rules: again });
      expect(texts.filter((_, index) => before[index] !== after[index])).toEqual([]);

      const whole = formatRuleset(second);
      load('flush ruleset\n');
      expect(load(whole)).toBeUndefined();
      expect(plain(comparable(await readNftables()))).toBe(plain(comparable(second)));
    },
  );

  it('writes nearly all of them with the words of nft list ruleset', () => {
    expect(count).toBeGreaterThan(800);
    expect(asNft / count).toBeGreaterThan(0.92);
  });
});
