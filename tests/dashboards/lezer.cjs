// Says which of the queries on standard input, a JSON array of texts, Grafana's own parser of LogQL does not take: an
// array of [query, where] on standard output. The parser is npm's @grafana/lezer-logql, to be found by NODE_PATH.
const { parser } = require('@grafana/lezer-logql');

const faults = [];
for (const query of JSON.parse(require('fs').readFileSync(0, 'utf8'))) {
  let where = null;
  parser.parse(query).iterate({
    enter: (node) => {
      if (node.type.isError && where === null) where = node.from;
    },
  });
  if (where !== null) faults.push([query, where]);
}
console.log(JSON.stringify(faults));
