// Kinesis (kinesalite) and DynamoDB (dynalite) behind one address on loopback, as AWS_ENDPOINT_URL takes it.
// Prints its port, and ends when its standard input does: with the process that started it, however that ends.

const http = require('http')

// kinesalite never answers a request for the iterator at a time after which nothing arrived. AWS gives the shard's end.
const place = require.resolve('kinesalite/actions/getShardIterator')
const db = require('kinesalite/db')
const original = require(place)
require.cache[place].exports = function (store, data, cb) {
  if (data.ShardIteratorType !== 'AT_TIMESTAMP' || !(data.Timestamp * 1000 <= Date.now())) return original(store, data, cb)
  store.getStream(data.StreamName, function (err) {
    if (err) return original(store, data, cb)
    const shard = db.resolveShardId(data.ShardId).shardIx
    const all = store.getStreamDb(data.StreamName).createReadStream({ gt: db.shardIxToHex(shard), lt: db.shardIxToHex(shard + 1) })
    let found = false
    all.on('data', (item) => { found = found || item.value.ApproximateArrivalTimestamp >= data.Timestamp })
    all.on('end', () => {
      if (found) return original(store, data, cb)
      original(store, { StreamName: data.StreamName, ShardId: data.ShardId, ShardIteratorType: 'LATEST' }, cb)
    })
  })
}

const quick = { createStreamMs: 5, deleteStreamMs: 5, updateStreamMs: 5, createTableMs: 5, deleteTableMs: 5, updateTableMs: 5 }
const kinesis = require('kinesalite')({ ...quick, shardLimit: 10000 })
const dynamo = require('dynalite')(quick)

const front = http.createServer((request, response) => {
  const target = request.headers['x-amz-target'] || ''
  const service = target.startsWith('DynamoDB_') ? dynamo : kinesis
  service.emit('request', request, response)
})
front.keepAliveTimeout = 60_000
front.listen(0, '127.0.0.1', () => console.log(front.address().port))

process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
