using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace Sluice.Server;

/// <summary>Says what body an endpoint reads, for its description only. Unlike <c>Accepts</c> it refuses no content type.</summary>
sealed record DescribedBody(Type Type);

/// <summary>What <c>/openapi/v2.json</c> says beyond the routes: title, authentication, bodies that are read by hand, and refusals.</summary>
static class OpenApiDescription
{
    const string Json = "application/json";

    public static RouteHandlerBuilder DescribesBody<TBody>(this RouteHandlerBuilder route) => route.WithMetadata(new DescribedBody(typeof(TBody)));

    public static void Configure(OpenApiOptions options)
    {
        options.AddDocumentTransformer((document, _, _) => Describe(document));
        options.AddOperationTransformer(DescribeAsync);
    }

    static Task Describe(OpenApiDocument document)
    {
        document.Info = new OpenApiInfo { Title = "Sluice", Version = "v2", Description = "Streaming HTTPS ingest for analytical tables." };
        document.Components ??= new OpenApiComponents();
        document.Components.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>
        {
            ["token"] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", BearerFormat = "JWT", Description = "The IdToken of a login." },
            ["key"] = new OpenApiSecurityScheme { Type = SecuritySchemeType.ApiKey, In = ParameterLocation.Header, Name = "X-API-Key", Description = "The secret of an API key." },
        };
        document.Security =
        [
            new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference("token", document)] = [] },
            new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference("key", document)] = [] },
        ];
        return Task.CompletedTask;
    }

    static async Task DescribeAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken cancellation)
    {
        var metadata = context.Description.ActionDescriptor.EndpointMetadata;

        if (metadata.OfType<DescribedBody>().LastOrDefault() is { } body)
            operation.RequestBody = new OpenApiRequestBody { Required = true, Content = await ContentAsync(body.Type) };

        if (metadata.OfType<IAllowAnonymous>().Any())
            operation.Security = [];

        operation.Responses ??= [];
        operation.Responses["default"] = new OpenApiResponse { Description = "Refused.", Content = await ContentAsync(typeof(RefusalShape)) };

        async Task<Dictionary<string, OpenApiMediaType>> ContentAsync(Type type) =>
            new() { [Json] = new OpenApiMediaType { Schema = await context.GetOrCreateSchemaAsync(type, null, cancellation) } };
    }
}
