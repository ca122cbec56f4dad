/** Bars side by side, as SVG. */
import * as echarts from 'echarts'

const WIDTH = 900

/** One group of bars for each of `groups`, one bar of each series in it; a value that is not there is NaN. */
export const bars = (
  title: string,
  unit: string,
  groups: readonly string[],
  series: readonly { readonly name: string; readonly values: readonly number[] }[],
): string => {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: 360 })
  try {
    chart.setOption({
      animation: false,
      backgroundColor: '#ffffff',
      title: { text: title, left: 'center', textStyle: { fontSize: 15 } },
      legend: { bottom: 0 },
      grid: { left: 60, right: 20, top: 50, bottom: 80 },
      xAxis: {
        type: 'category',
        data: [...groups],
        // each has its label, which would be left out where it touches another
        axisLabel: { interval: 0, width: (WIDTH - 80) / groups.length - 8, overflow: 'break' },
      },
      yAxis: { type: 'value', name: unit },
      series: series.map(({ name, values }) => ({
        name,
        type: 'bar',
        data: values.map((value) => (Number.isFinite(value) ? Number(value.toFixed(2)) : null)),
      })),
    })
    return chart.renderToSVGString()
  } finally {
    chart.dispose()
  }
}
