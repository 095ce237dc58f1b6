package series

// Scrapeable is for tests.
var Scrapeable = scrapeable
