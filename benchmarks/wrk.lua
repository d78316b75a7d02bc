-- For wrk: POSTs BATCH records of the shape of `sluice bench`, the same in every request. The sink's address is wrk's; its key is in SLUICE_API_KEY.
local records = {}
for i = 0, tonumber(os.getenv("BATCH")) - 1 do
  local at = os.date("!%Y-%m-%dT%H:%M:%SZ", 1767323000 + i % 3600)
  records[#records + 1] = string.format(
    '{"value":{"id":%d,"name":"sensor-%d","n":%d,"price":%d.%d,"at":"%s","ok":%s,"kind":"group-%d"}}',
    100000000000 + i, i % 97, i % 1000 * 37 % 1000, i % 500, i % 90 + 10, at, tostring(i % 2 == 0), i % 7)
end
wrk.method = "POST"
wrk.headers["X-API-Key"] = os.getenv("SLUICE_API_KEY")
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"records":[' .. table.concat(records, ",") .. "]}"
